"""/api/workflows"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.commands.create_workflow import CreateWorkflow
from shared.commands.update_workflow import UpdateWorkflow
from shared.commands.validate_workflow import ValidateWorkflow
from shared.errors import ConflictError, PreconditionFailedError, StreamConflictError
from shared.http.operation import Answer, Operation, RequestHeader
from shared.http.operations.views import EdgeView, Id, NodeView, Object, ProblemItem, Time, View
from shared.http.query import PageQuery

TAG = "Workflows"
Status = Literal["draft", "published", "archived"]
ETAG = {"ETag": "The version of what is shown; `If-Match` takes it."}


class WorkflowSummary(View):
    """A workflow without its graph."""

    id: Id
    name: str
    description: str | None
    tags: list[str]
    settings: Object
    status: Status
    version: Annotated[int, Field(description="Of the draft: 1, and one more with each change.")]
    published_version: Annotated[int | None, Field(description="The version that new runs take; null: none.")]
    created_at: Time
    updated_at: Time


class WorkflowView(WorkflowSummary):
    """A workflow: its draft, and what is published of it."""

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
    """All schedules of a workflow: there is but one page."""

    items: list[ScheduleView]
    next_cursor: None


class ValidationView(View):
    """Whether the graph could be published, and everything that is wrong with it."""

    valid: bool
    errors: list[ProblemItem]


class ListWorkflows(PageQuery):
    """Which workflows."""

    status: Annotated[Status | None, Field(description="Unset: all but the archived ones.")] = None
    tag: Annotated[str | None, Field(min_length=1, max_length=100, description="One that the workflow has.")] = None
    q: Annotated[str | None, Field(min_length=1, max_length=200, description="A part of the name, in any case.")] = None


CREATE_WORKFLOW = Operation(
    id="create_workflow",
    method="POST",
    path="/api/workflows",
    summary="Create a workflow",
    description="The draft may be incomplete; it must be well-formed.",
    tag=TAG,
    role="editor",
    scope="workflows:write",
    body=CreateWorkflow,
    answers={201: Answer("The new workflow", WorkflowView, {**ETAG, "Location": "Where the workflow is."})},
)
LIST_WORKFLOWS = Operation(
    id="list_workflows",
    method="GET",
    path="/api/workflows",
    summary="List workflows",
    description="Newest first.",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    query=ListWorkflows,
    answers={200: Answer("A page of workflows", WorkflowPage)},
)
GET_WORKFLOW = Operation(
    id="get_workflow",
    method="GET",
    path="/api/workflows/{id}",
    summary="Get a workflow",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    answers={200: Answer("The workflow", WorkflowView, ETAG)},
)
UPDATE_WORKFLOW = Operation(
    id="update_workflow",
    method="PUT",
    path="/api/workflows/{id}",
    summary="Replace a workflow's draft",
    description="What is published stays as it is until the draft is published.",
    tag=TAG,
    role="editor",
    scope="workflows:write",
    body=UpdateWorkflow,
    headers=(RequestHeader("If-Match", "Replace only what this ETag names; else 412."),),
    answers={200: Answer("The workflow", WorkflowView, ETAG)},
    errors=(ConflictError, StreamConflictError, PreconditionFailedError),
)
ARCHIVE_WORKFLOW = Operation(
    id="archive_workflow",
    method="DELETE",
    path="/api/workflows/{id}",
    summary="Archive a workflow",
    description="It leaves the lists and starts no new run; its history stays.",
    tag=TAG,
    role="editor",
    scope="workflows:write",
    answers={204: Answer("Archived")},
    errors=(StreamConflictError,),
)
LIST_WORKFLOW_VERSIONS = Operation(
    id="list_workflow_versions",
    method="GET",
    path="/api/workflows/{id}/versions",
    summary="List the published versions",
    description="Newest first.",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    query=PageQuery,
    answers={200: Answer("A page of versions", VersionPage)},
)
GET_WORKFLOW_VERSION = Operation(
    id="get_workflow_version",
    method="GET",
    path="/api/workflows/{id}/versions/{version}",
    summary="Get a published version",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    answers={200: Answer("The version", VersionView)},
)
LIST_SCHEDULES = Operation(
    id="list_schedules",
    method="GET",
    path="/api/workflows/{id}/schedules",
    summary="List the schedules",
    description="When the published version runs by itself next. A tick that is due starts its run within a minute.",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    answers={200: Answer("The schedules by node id", SchedulePage)},
)
VALIDATE_WORKFLOW = Operation(
    id="validate_workflow",
    method="POST",
    path="/api/workflows/validate",
    summary="Validate a graph",
    description="The answer that publishing would give; nothing is stored.",
    tag=TAG,
    role="editor",
    scope="workflows:write",
    body=ValidateWorkflow,
    answers={200: Answer("What is wrong with the graph", ValidationView)},
)
OPERATIONS = (
    CREATE_WORKFLOW,
    LIST_WORKFLOWS,
    GET_WORKFLOW,
    UPDATE_WORKFLOW,
    ARCHIVE_WORKFLOW,
    LIST_WORKFLOW_VERSIONS,
    GET_WORKFLOW_VERSION,
    LIST_SCHEDULES,
    VALIDATE_WORKFLOW,
)
