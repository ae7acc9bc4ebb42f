"""Applies facts to a workflow."""

from __future__ import annotations

from dataclasses import replace

from shared.domain.timestamps import in_utc
from shared.domain.workflow.state import Workflow
from shared.events.workflow import (
    WorkflowArchived,
    WorkflowCreated,
    WorkflowFact,
    WorkflowPublished,
    WorkflowUnpublished,
    WorkflowUpdated,
)


def apply(
    workflow: Workflow | None, fact: WorkflowFact, tenant_id: str, workflow_id: str, happened_at: str
) -> Workflow:
    """The workflow after one more fact; the first is `WorkflowCreated`, else it raises `ValueError`."""
    happened_at = in_utc(happened_at) or happened_at
    if isinstance(fact, WorkflowCreated):
        return Workflow(
            id=workflow_id,
            tenant_id=tenant_id,
            name=fact.name,
            description=fact.description,
            nodes=fact.nodes,
            edges=fact.edges,
            tags=fact.tags,
            settings=fact.settings,
            version=1,
            status="draft",
            published_version=None,
            stream_version=1,
            created_at=happened_at,
            updated_at=happened_at,
        )
    if workflow is None:
        raise ValueError(f"The stream of workflow {workflow_id} does not begin with WorkflowCreated.")
    # Every fact raises the stream's version, but only a changed draft raises the workflow's.
    workflow = replace(workflow, stream_version=workflow.stream_version + 1, updated_at=happened_at)
    match fact:
        case WorkflowUpdated():
            return replace(
                workflow,
                name=fact.name,
                description=fact.description,
                nodes=fact.nodes,
                edges=fact.edges,
                tags=fact.tags,
                settings=fact.settings,
                version=workflow.version + 1,
            )
        case WorkflowPublished():
            return replace(workflow, status="published", published_version=fact.version)
        case WorkflowUnpublished():
            return replace(workflow, status="draft", published_version=None)
        case WorkflowArchived():
            return replace(workflow, status="archived", published_version=None)
