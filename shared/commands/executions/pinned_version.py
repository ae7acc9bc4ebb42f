"""The version of a workflow that a run is pinned to already, and what it says."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.domain.workflow.graph import Graph
from shared.domain.workflow.graph_parser import parse_graph
from shared.domain.workflow.settings import WorkflowSettings, parse_settings
from shared.errors import InvalidGraphError
from shared.repositories.rows import Row


async def pinned_version(services: Services, tenant_id: str, workflow_id: str, version: int) -> Row:
    """The version that a run is pinned to already; one that cannot be read raises `InvalidGraphError`."""
    saved = await services.workflows.version(tenant_id, workflow_id, version)
    if saved is None:
        raise InvalidGraphError(f"Version {version} of the workflow cannot be read.")
    return saved


def version_settings(saved: Row) -> WorkflowSettings:
    """What a version's settings say about its runs."""
    return parse_settings(saved["settings"])[0]


def version_graph(saved: Row) -> Graph:
    """The graph of a version; one that cannot be read raises `InvalidGraphError`."""
    graph, problems = parse_graph(saved["nodes"], saved["edges"])
    if graph is None:
        message = f"Version {saved['version']} of the workflow cannot be read."
        raise InvalidGraphError(message, problems=tuple(problems))
    return graph
