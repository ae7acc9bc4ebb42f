"""Replace a workflow's draft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from shared.bootstrap import Services
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.replacement import SHOWN, Replacement, changed_problems
from shared.commands.workflows.changes import append
from shared.commands.workflows.draft import WorkflowDraft
from shared.commands.workflows.loading import load, refuse_archived
from shared.domain.actor import Actor
from shared.domain.workflow.state import Workflow
from shared.errors import InvalidRequestError
from shared.events.workflow import WorkflowUpdated


class UpdateWorkflow(WorkflowDraft, Replacement):
    """The whole new draft; the published version stays as it is. Other fields that GET shows may be sent back with it,
    `id` and `created_at` unchanged."""

    status: Annotated[str | None, SHOWN] = None
    version: Annotated[int | None, SHOWN] = None
    published_version: Annotated[int | None, SHOWN] = None


async def update_workflow(
    services: Services,
    actor: Actor,
    workflow_id: str,
    command: UpdateWorkflow,
    precondition: Callable[[Workflow], None] | None = None,
) -> Workflow:
    """The workflow with its version up by one.

    `precondition` is called with the workflow that would be replaced, and raises where the caller meant another state.
    Raises `InvalidRequestError` for a graph that is not well-formed, `ConflictError` for an archived workflow.
    """
    fact = WorkflowUpdated(**command.facts())

    async def attempt() -> Workflow:
        workflow = await load(services, actor, workflow_id)
        # In each attempt: after a conflict the workflow is another one, which the caller may not have meant.
        if precondition is not None:
            precondition(workflow)
        refuse_archived(workflow)
        if problems := changed_problems(command, {"id": workflow.id, "created_at": workflow.created_at}):
            raise InvalidRequestError("The workflow cannot be saved like this.", problems=tuple(problems))
        return await append(services, actor, workflow, workflow_id, [fact])

    return await retry_on_conflict(attempt)
