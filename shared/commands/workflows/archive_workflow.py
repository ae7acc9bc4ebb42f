"""Archive a workflow."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.workflows.changes import append
from shared.commands.workflows.loading import load
from shared.commands.write_through import remember_workflow
from shared.domain.actor import Actor
from shared.events.workflow import WorkflowArchived


async def archive_workflow(services: Services, actor: Actor, workflow_id: str) -> None:
    """Removes the workflow from lists and stops new runs; its history stays. Archiving it again changes nothing."""

    async def attempt() -> None:
        workflow = await load(services, actor, workflow_id)
        if workflow.status != "archived":
            await append(services, actor, workflow, workflow_id, [WorkflowArchived()])

    await retry_on_conflict(attempt)
    # Also where nothing has changed, as in `publish_workflow`.
    await remember_workflow(services, actor.tenant_id, workflow_id)
