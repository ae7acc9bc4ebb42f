"""The version of a workflow that a run is pinned to, as its row of `workflow_versions`, and what that row says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.bootstrap import Services
from shared.domain.workflow.state import Workflow, WorkflowVersionRow, version_row
from shared.errors import InvalidGraphError, NotPublishedError, Problem, UnprocessableError

if TYPE_CHECKING:
    from shared.domain.workflow.graph import Graph
    from shared.domain.workflow.settings import WorkflowSettings


async def chosen_version(services: Services, workflow: Workflow, asked: str | int) -> WorkflowVersionRow:
    """The version to pin a new run to: `published`, `draft`, or one by number.

    A version that was never published must be valid, else `InvalidGraphError`. Raises `NotPublishedError`, and
    `UnprocessableError` where there is no such version.
    """
    if workflow.status == "archived":
        raise NotPublishedError("The workflow is archived; it starts no more runs.")
    if asked == "published":
        if workflow.published_version is None:
            raise NotPublishedError
        if workflow.published_version == workflow.version:
            return version_row(workflow)  # the draft is what is published, and has been read with the workflow
        asked = workflow.published_version
    number = workflow.version if asked == "draft" else int(asked)
    # The column is an integer of four bytes: the database would refuse a larger number as malformed.
    version = await services.workflows.version(workflow.tenant_id, workflow.id, number) if 0 < number < 2**31 else None
    if version is None:
        message = f"The workflow has no version {number}."
        raise UnprocessableError(message, problems=(Problem("/version", message),))
    if version["published_at"] is None:
        from shared.commands.workflows.graph_problems import refuse_invalid  # imports every node type

        await refuse_invalid(services, workflow.tenant_id, version["nodes"], version["edges"], version["settings"])
    return version


async def pinned_version(services: Services, tenant_id: str, workflow_id: str, number: int) -> WorkflowVersionRow:
    """The version that an existing run is pinned to; raises `InvalidGraphError` where it is missing."""
    version = await services.workflows.version(tenant_id, workflow_id, number)
    if version is None:
        raise InvalidGraphError(f"Version {number} of the workflow cannot be read.")
    return version


# Starting a run of a published version needs neither its settings nor its graph, and does not pay for their parsers.


def version_settings(version: WorkflowVersionRow) -> WorkflowSettings:
    """The version's settings for its runs."""
    from shared.domain.workflow.settings import parse_settings

    return parse_settings(version["settings"])[0]


def version_graph(version: WorkflowVersionRow) -> Graph:
    """The version's graph; one that cannot be parsed raises `InvalidGraphError`."""
    from shared.domain.workflow.graph_parser import parse_graph

    graph, problems = parse_graph(version["nodes"], version["edges"])
    if graph is None:
        message = f"Version {version['version']} of the workflow cannot be read."
        raise InvalidGraphError(message, problems=tuple(problems))
    return graph
