"""The workflow aggregate: a draft that changes, and its published version.

`shared/domain/workflow/fold.py` applies its facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from shared.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow after its events. `version` counts the saved drafts; `published_version` is the one for new runs."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    nodes: list[JsonObject]
    edges: list[JsonObject]
    tags: list[str]
    settings: JsonObject
    version: int
    status: str
    published_version: int | None
    stream_version: int
    created_at: str
    updated_at: str


class WorkflowVersionRow(TypedDict):
    """A row of `workflow_versions`. `published_at` is unset for a version that was never published; `tenant_id` is
    unset in rows that were read, all of which are the reader's own."""

    workflow_id: str
    version: int
    tenant_id: NotRequired[str]
    nodes: list[JsonObject]
    edges: list[JsonObject]
    settings: JsonObject
    created_at: str
    published_at: str | None


def row(workflow: Workflow) -> JsonObject:
    """The workflow's row in `workflows`."""
    return {name: getattr(workflow, name) for name in Workflow.__slots__}


def version_row(workflow: Workflow, published_at: str | None = None) -> WorkflowVersionRow:
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
