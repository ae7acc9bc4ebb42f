"""The version of a workflow that a new run is pinned to, as its row of `workflow_versions`."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.domain.workflow.state import Workflow, version_row
from shared.errors import NotPublishedError, Problem, UnprocessableError
from shared.repositories.rows import Row


async def chosen_version(services: Services, workflow: Workflow, asked: str | int) -> Row:
    """The version to pin a new run to: `published`, `draft`, or one by number.

    One that was never published must prove that it can run, else `InvalidGraphError`. Raises `NotPublishedError`, and
    `UnprocessableError` where there is no such version.
    """
    if workflow.status == "archived":
        raise NotPublishedError("The workflow is archived; it starts no more runs.")
    if asked == "published":
        if workflow.published_version is None:
            raise NotPublishedError
        if workflow.published_version == workflow.version:
            return version_row(workflow)  # which has been read with the workflow
        asked = workflow.published_version
    number = workflow.version if asked == "draft" else int(asked)
    saved = await services.workflows.version(workflow.tenant_id, workflow.id, number) if 0 < number < 2**31 else None
    if saved is None:
        message = f"The workflow has no version {number}."
        raise UnprocessableError(message, problems=(Problem("/version", message),))
    if saved["published_at"] is None:
        from shared.commands.workflows.graph_problems import refuse_invalid  # with all node types

        await refuse_invalid(services, workflow.tenant_id, saved["nodes"], saved["edges"], saved["settings"])
    return saved
