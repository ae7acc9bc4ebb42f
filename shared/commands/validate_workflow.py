"""Validate a graph that is not stored: the answer publishing would give."""

from __future__ import annotations

from shared.commands._workflow_draft import Edges, Nodes
from shared.commands.model import Command
from shared.domain.graph import parse_graph
from shared.errors import Problem
from shared.nodes.validation import validate_graph


class ValidateWorkflow(Command):
    """A graph."""

    nodes: Nodes
    edges: Edges


def validate_workflow(command: ValidateWorkflow) -> list[Problem]:
    """Every problem of the graph; none means that it could be published."""
    graph, problems = parse_graph(command.nodes, command.edges)
    return validate_graph(graph) if graph is not None and not problems else problems
