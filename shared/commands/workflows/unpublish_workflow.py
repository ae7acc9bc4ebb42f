"""Unpublish a workflow."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.workflows.changes import append
from shared.commands.workflows.loading import load, refuse_archived
from shared.commands.write_through import remember_workflow
from shared.domain.actor import Actor
from shared.domain.workflow.state import Workflow
from shared.events.workflow import WorkflowUnpublished


async def unpublish_workflow(services: Services, actor: Actor, workflow_id: str) -> Workflow:
    """The workflow as a draft: no new run starts, those in progress finish. Repeating it changes nothing.

    Raises `ConflictError` for an archived workflow.
    """

    async def attempt() -> Workflow:
        workflow = await load(services, actor, workflow_id)
        refuse_archived(workflow)
        if workflow.published_version is None:
            return workflow
        return await append(services, actor, workflow, workflow_id, [WorkflowUnpublished()])

    workflow = await retry_on_conflict(attempt)
    # Also where nothing has changed, as in `publish_workflow`.
    await remember_workflow(services, actor.tenant_id, workflow_id)
    return workflow
