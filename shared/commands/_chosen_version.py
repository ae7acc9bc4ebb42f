"""The version of a workflow that a new run is pinned to."""

from __future__ import annotations

from shared.commands._references import reference_problems
from shared.commands.services import Services
from shared.domain.graph import Graph, parse_graph
from shared.domain.workflow import Workflow
from shared.domain.workflow_settings import WorkflowSettings, parse_settings
from shared.errors import InvalidGraphError, NotPublishedError, Problem, UnprocessableError


async def chosen_version(services: Services, workflow: Workflow, asked: str | int) -> int:
    """The version to pin the run to: `published`, `draft`, or one by number.

    One that was never published must prove that it can run, else `InvalidGraphError`. Raises `NotPublishedError`, and
    `UnprocessableError` where there is no such version.
    """
    from shared.nodes.validation import validate_graph  # all node types, which only a graph that is judged needs

    if workflow.status == "archived":
        raise NotPublishedError("The workflow is archived; it starts no more runs.")
    if asked == "published":
        if workflow.published_version is None:
            raise NotPublishedError
        return workflow.published_version
    version = workflow.version if asked == "draft" else int(asked)
    saved = await services.workflows.version(workflow.tenant_id, workflow.id, version) if 0 < version < 2**31 else None
    if saved is None:
        message = f"The workflow has no version {version}."
        raise UnprocessableError(message, problems=(Problem("/version", message),))
    if saved["published_at"] is None:
        graph, problems = parse_graph(saved["nodes"], saved["edges"])
        problems = problems or (validate_graph(graph) if graph else [])
        problems = problems or await reference_problems(services, workflow.tenant_id, saved["nodes"], saved["settings"])
        if problems:
            raise InvalidGraphError(problems=tuple(problems))
    return version


async def version_settings(services: Services, tenant_id: str, workflow_id: str, version: int) -> WorkflowSettings:
    """What a version's settings say about its runs."""
    saved = await services.workflows.version(tenant_id, workflow_id, version)
    return parse_settings(saved["settings"] if saved else {})[0]


async def version_graph(services: Services, tenant_id: str, workflow_id: str, version: int) -> Graph:
    """The graph of a version that is there; one that cannot be read raises `InvalidGraphError`."""
    saved = await services.workflows.version(tenant_id, workflow_id, version)
    graph, problems = parse_graph(saved["nodes"], saved["edges"]) if saved else (None, [])
    if graph is None:
        raise InvalidGraphError(f"Version {version} of the workflow cannot be read.", problems=tuple(problems))
    return graph
