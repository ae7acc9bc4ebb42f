"""/api/executions/{id}/…: what can be done with a run afterwards."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.fork_execution import ForkExecution
from shared.errors import (
    ExecutionFinishedError,
    ExecutionNotFinishedError,
    IdempotencyConflictError,
    InvalidGraphError,
    NotPublishedError,
    StreamConflictError,
    UnprocessableError,
)
from shared.http.operation import Answer, Operation, RequestHeader
from shared.http.operations.executions import TAG, StartedView
from shared.http.operations.views import Object, View


class DifferenceView(View):
    """The first event that is not what it should be."""

    sequence_number: int
    stream_version: int
    event_type: str
    node_id: Annotated[str | None, Field(description="The node that it is about; in a map, its path.")]
    reason: str
    expected: Annotated[Object | None, Field(description="What should be recorded there; null: no such fact may be.")]
    recorded: Object


class VerificationView(View):
    """Whether a run can be derived again."""

    valid: bool
    events_checked: int
    first_difference: DifferenceView | None


VERIFY_EXECUTION = Operation(
    id="verify_execution",
    method="GET",
    path="/api/executions/{id}/verify",
    summary="Verify a run",
    description=(
        "Derives every decision and every pure output again from what was recorded, and checks the hash chain. What "
        "came from outside, such as effects' answers, is taken as it stands."
    ),
    tag=TAG,
    role="viewer",
    scope="executions:read",
    answers={200: Answer("Whether the run can be derived again, and where it differs first", VerificationView)},
)
REDRIVE_EXECUTION = Operation(
    id="redrive_execution",
    method="POST",
    path="/api/executions/{id}/redrive",
    summary="Redrive a run",
    description=(
        "A failed or cancelled run goes on under its own id and on its own version: failed, cancelled and never-run "
        "nodes are done, what completed is not done again. Effects keep their idempotency keys."
    ),
    tag=TAG,
    role="editor",
    scope="executions:write",
    answers={202: Answer("The run goes on", StartedView, {"Location": "Where the run is."})},
    errors=(ExecutionFinishedError, ExecutionNotFinishedError, InvalidGraphError, StreamConflictError),
)
FORK_EXECUTION = Operation(
    id="fork_execution",
    method="POST",
    path="/api/executions/{id}/fork",
    summary="Fork a run",
    description=(
        "A new run from one node on: it and all that comes after it are done anew, on a version of one's choice. Nodes "
        "that do not come after it keep what they did. With `output`, the node is not run but yields that."
    ),
    tag=TAG,
    role="editor",
    scope="executions:write",
    body=ForkExecution,
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one run."),),
    answers={202: Answer("The new run", StartedView, {"Location": "Where the new run is."})},
    errors=(IdempotencyConflictError, NotPublishedError, InvalidGraphError, StreamConflictError, UnprocessableError),
)
OPERATIONS = (VERIFY_EXECUTION, REDRIVE_EXECUTION, FORK_EXECUTION)
