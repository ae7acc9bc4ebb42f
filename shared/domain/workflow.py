"""The workflow aggregate: a draft that changes and the versions that were published of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from shared.domain.timestamps import in_utc
from shared.events.codec import by_name, decode
from shared.events.record import RecordedEvent
from shared.events.workflow import (
    WorkflowArchived,
    WorkflowCreated,
    WorkflowFact,
    WorkflowPublished,
    WorkflowUnpublished,
    WorkflowUpdated,
)

FACTS = by_name(WorkflowFact)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow after its events. `version` counts the saved drafts; `published_version` is the one new runs take."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    tags: list[str]
    settings: dict[str, Any]
    version: int
    status: str
    published_version: int | None
    stream_version: int
    created_at: str
    updated_at: str


def fold(events: Iterable[RecordedEvent]) -> Workflow | None:
    """The workflow that the events of its stream, in order, lead to; `None` without events."""
    workflow: Workflow | None = None
    for event in events:
        fact = decode(FACTS, event.event_type, event.payload, event.metadata.get("schema_version", 1))
        workflow = apply(workflow, fact, event.tenant_id, event.stream_id, event.timestamp)  # type: ignore[arg-type]  # the stream's type is `workflow`
    return workflow


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


def row(workflow: Workflow) -> dict[str, Any]:
    """The workflow's row in `workflows`."""
    return {name: getattr(workflow, name) for name in Workflow.__slots__}


def version_row(workflow: Workflow, published_at: str | None = None) -> dict[str, Any]:
    """The row in `workflow_versions` of the draft as it is now; `published_at` is set when it is published."""
    return {
        "workflow_id": workflow.id,
        "version": workflow.version,
        "tenant_id": workflow.tenant_id,
        "nodes": workflow.nodes,
        "edges": workflow.edges,
        "settings": workflow.settings,
        "created_at": workflow.updated_at,
        "published_at": published_at,
    }
