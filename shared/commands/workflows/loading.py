"""Loads the workflow that a command is about."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.domain.actor import Actor
from shared.domain.workflow.state import Workflow
from shared.errors import ConflictError, NotFoundError


async def load(services: Services, actor: Actor, workflow_id: str) -> Workflow:
    """The tenant's workflow, archived or not; raises `NotFoundError`."""
    row = await services.workflows.get(actor.tenant_id, workflow_id)
    if row is None:
        raise NotFoundError("There is no such workflow.")
    return Workflow(tenant_id=actor.tenant_id, **row)


def refuse_archived(workflow: Workflow) -> None:
    """Raises `ConflictError` for an archived workflow, which can no longer change."""
    if workflow.status == "archived":
        raise ConflictError("The workflow is archived and can no longer change.")
