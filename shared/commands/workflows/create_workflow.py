"""Create a workflow."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.workflows.changes import append
from shared.commands.workflows.draft import WorkflowDraft
from shared.domain.actor import Actor
from shared.domain.workflow.state import Workflow
from shared.events.workflow import WorkflowCreated
from shared.ids import new_id


class CreateWorkflow(WorkflowDraft):
    """A new workflow's draft."""


async def create_workflow(services: Services, actor: Actor, command: CreateWorkflow) -> Workflow:
    """The new workflow, a draft at version 1; a graph that is not well-formed raises `InvalidRequestError`."""
    return await append(services, actor, None, new_id(), [WorkflowCreated(**command.facts())])
