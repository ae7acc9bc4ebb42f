"""Validate a graph that is not stored: the answer publishing would give."""

from __future__ import annotations

from shared.commands._references import reference_problems
from shared.commands._workflow_draft import Edges, Nodes
from shared.commands.model import Command
from shared.commands.services import Services
from shared.domain.graph import parse_graph
from shared.errors import Problem


class ValidateWorkflow(Command):
    """A graph."""

    nodes: Nodes
    edges: Edges


async def validate_workflow(services: Services, tenant_id: str, command: ValidateWorkflow) -> list[Problem]:
    """Every problem of the graph; none means that the tenant could publish it."""
    from shared.nodes.validation import validate_graph  # all node types, which only a graph that is judged needs

    graph, problems = parse_graph(command.nodes, command.edges)
    if graph is None or problems:
        return problems
    return validate_graph(graph) or await reference_problems(services, tenant_id, command.nodes)
