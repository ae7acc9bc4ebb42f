"""The shapes of answers under /api/workflows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.http.parameters.workflows import Status
from shared.http.views.common import EdgeView, Id, NodeView, Object, ProblemItem, Time, View


class WorkflowSummary(View):
    """A workflow without its graph."""

    id: Id
    name: str
    description: str | None
    tags: list[str]
    settings: Object
    status: Status
    version: Annotated[int, Field(description="Of the draft: 1, and one more with each change.")]
    published_version: Annotated[int | None, Field(description="The version for new runs; null: none.")]
    created_at: Time
    updated_at: Time


class WorkflowView(WorkflowSummary):
    """A workflow with its draft."""

    nodes: list[NodeView]
    edges: list[EdgeView]


class WorkflowPage(View):
    """A page of workflows."""

    items: list[WorkflowSummary]
    next_cursor: str | None


class VersionView(View):
    """A published graph; it never changes."""

    workflow_id: Id
    version: int
    nodes: list[NodeView]
    edges: list[EdgeView]
    settings: Object
    created_at: Time
    published_at: Time


class VersionPage(View):
    """A page of published versions."""

    items: list[VersionView]
    next_cursor: str | None


class ScheduleView(View):
    """A schedule trigger of the published version, and its next tick."""

    node_id: str
    version: int
    cron: str
    timezone: str
    next_at: Time


class SchedulePage(View):
    """All schedules of a workflow, on one page."""

    items: list[ScheduleView]
    next_cursor: None


class ValidationView(View):
    """Whether the graph could be published, and all its problems."""

    valid: bool
    errors: list[ProblemItem]
