"""/api/workflows"""

from __future__ import annotations

from shared.errors import ConflictError, PreconditionFailedError, StreamConflictError
from shared.http.operation import Answer, Operation, RequestHeader

TAG = "Workflows"
ETAG = {"ETag": "The version of the resource, for `If-Match`."}
CREATE_WORKFLOW = Operation(
    id="create_workflow",
    method="POST",
    path="/api/workflows",
    summary="Create a workflow",
    description="The draft may be incomplete; it must be well-formed.",
    tag=TAG,
    role="editor",
    scope="workflows:write",
    body="workflows.create_workflow:CreateWorkflow",
    answers={
        201: Answer(
            "The new workflow",
            "workflows:WorkflowView",
            {**ETAG, "Location": "Where the workflow is."},
        )
    },
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
    query="workflows:ListWorkflows",
    answers={200: Answer("A page of workflows", "workflows:WorkflowPage")},
)
GET_WORKFLOW = Operation(
    id="get_workflow",
    method="GET",
    path="/api/workflows/{id}",
    summary="Get a workflow",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    answers={200: Answer("The workflow", "workflows:WorkflowView", ETAG)},
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
    body="workflows.update_workflow:UpdateWorkflow",
    headers=(RequestHeader("If-Match", "Replace only what this ETag names; else 412."),),
    answers={200: Answer("The workflow", "workflows:WorkflowView", ETAG)},
    errors=(ConflictError, StreamConflictError, PreconditionFailedError),
)
ARCHIVE_WORKFLOW = Operation(
    id="archive_workflow",
    method="DELETE",
    path="/api/workflows/{id}",
    summary="Archive a workflow",
    description="It is no longer listed and starts no new runs; its history stays.",
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
    query="common:PageQuery",
    answers={200: Answer("A page of versions", "workflows:VersionPage")},
)
GET_WORKFLOW_VERSION = Operation(
    id="get_workflow_version",
    method="GET",
    path="/api/workflows/{id}/versions/{version}",
    summary="Get a published version",
    tag=TAG,
    role="viewer",
    scope="workflows:read",
    answers={200: Answer("The version", "workflows:VersionView")},
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
    answers={200: Answer("The schedules by node id", "workflows:SchedulePage")},
)
VALIDATE_WORKFLOW = Operation(
    id="validate_workflow",
    method="POST",
    path="/api/workflows/validate",
    summary="Validate a graph",
    description="The problems that publishing would report; nothing is stored.",
    tag=TAG,
    role="editor",
    scope="workflows:write",
    body="workflows.validate_workflow:ValidateWorkflow",
    answers={200: Answer("What is wrong with the graph", "workflows:ValidationView")},
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
