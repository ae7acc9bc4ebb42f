"""Publish a workflow's draft."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.workflows.changes import append
from shared.commands.workflows.loading import load, refuse_archived
from shared.commands.write_through import remember_workflow
from shared.domain.actor import Actor
from shared.domain.workflow.state import Workflow
from shared.events.workflow import WorkflowPublished


async def publish_workflow(services: Services, actor: Actor, workflow_id: str) -> Workflow:
    """The workflow with its draft published: new runs are pinned to this version.

    A draft that is published already stays so. Raises `InvalidGraphError` with every problem of the graph,
    `ConflictError` for an archived workflow.
    """

    async def attempt() -> Workflow:
        workflow = await load(services, actor, workflow_id)
        refuse_archived(workflow)
        if workflow.published_version == workflow.version:
            return workflow
        from shared.commands.workflows.graph_problems import refuse_invalid  # imports every node type

        await refuse_invalid(services, actor.tenant_id, workflow.nodes, workflow.edges, workflow.settings)
        return await append(services, actor, workflow, workflow_id, [WorkflowPublished(workflow.version)])

    workflow = await retry_on_conflict(attempt)
    # Also where nothing has changed: a repetition sets a cache right that the first request did not reach.
    await remember_workflow(services, actor.tenant_id, workflow_id)
    return workflow
