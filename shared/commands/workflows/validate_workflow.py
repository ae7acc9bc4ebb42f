"""Validate a graph that is not stored: the problems that publishing it would report."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.workflows.draft import Edges, Nodes
from shared.commands.workflows.graph_problems import graph_problems
from shared.errors import Problem


class ValidateWorkflow(Command):
    """A graph."""

    nodes: Nodes
    edges: Edges


async def validate_workflow(services: Services, tenant_id: str, command: ValidateWorkflow) -> list[Problem]:
    """Every problem of the graph; none means that the tenant could publish it."""
    return await graph_problems(services, tenant_id, command.nodes, command.edges)
