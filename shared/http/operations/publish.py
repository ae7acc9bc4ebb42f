"""/api/workflows/{id}/publish and /unpublish"""

from __future__ import annotations

from shared.errors import ConflictError, InvalidGraphError, StreamConflictError
from shared.http.operation import Answer, Operation

PUBLISH_WORKFLOW = Operation(
    id="publish_workflow",
    method="POST",
    path="/api/workflows/{id}/publish",
    summary="Publish the draft",
    description="New runs are pinned to this version. Publishing an unchanged draft again has the same response.",
    tag="Workflows",
    role="editor",
    scope="workflows:write",
    answers={200: Answer("The published version", "publish:PublishedView")},
    errors=(InvalidGraphError, ConflictError, StreamConflictError),
)
UNPUBLISH_WORKFLOW = Operation(
    id="unpublish_workflow",
    method="POST",
    path="/api/workflows/{id}/unpublish",
    summary="Unpublish",
    description="No new run starts; running ones finish.",
    tag="Workflows",
    role="editor",
    scope="workflows:write",
    answers={200: Answer("Nothing is published", "publish:PublishedView")},
    errors=(ConflictError, StreamConflictError),
)
OPERATIONS = (PUBLISH_WORKFLOW, UNPUBLISH_WORKFLOW)
