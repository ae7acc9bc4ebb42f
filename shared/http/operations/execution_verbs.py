"""/api/executions/{id}/…: what can be done with a run afterwards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.commands.fork_execution import ForkExecution
from shared.commands.replay_execution import ReplayExecution
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
from shared.http.operations.executions import TAG, ErrorView, StartedView
from shared.http.operations.views import Object, View, may_be_missing


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


class EndView(View):
    """How a run ended."""

    workflow_version: int | None
    status: Annotated[str, Field(description="The run's status; `unknown` where a dry run found no answer.")]
    output: Any
    output_omitted: bool = may_be_missing("Too large for this answer; see the events.")
    error: ErrorView | None


class ComparedNodeView(View):
    """A node in one of two runs."""

    status: Annotated[str, Field(description="The node's status; `unknown` where a dry run found no answer.")]
    handle: str | list[str] | None
    output: Any
    output_omitted: bool = may_be_missing("Too large for this answer; see the events.")
    error: ErrorView | None
    parameters: Object | None = may_be_missing("What an effect or a call was or would be made with.")
    parameters_omitted: bool = may_be_missing("Too large for this answer; see the events.")


class NodeComparisonView(View):
    """A node in both runs; null where a version has no such node."""

    original: ComparedNodeView | None
    replayed: ComparedNodeView | None
    same: bool


class PlaceView(View):
    """Where two runs differ."""

    node_id: Annotated[str | None, Field(description="Null where the nodes are the same and the outcome is not.")]
    field: Literal["status", "handle", "output", "error", "parameters"]


class ComparisonView(View):
    """Two runs side by side."""

    original: EndView
    replayed: EndView
    same: bool
    nodes: dict[str, NodeComparisonView]
    first_difference: PlaceView | None


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
    errors=(UnprocessableError,),
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
REPLAY_EXECUTION = Operation(
    id="replay_execution",
    method="POST",
    path="/api/executions/{id}/replay",
    summary="Replay a run",
    description=(
        "From its trigger, on a version of one's choice. `live`: a new run. `dry_run`: nothing is stored and nothing "
        "leaves; what the run recorded answers for its effects and signals, and the answer compares node by node. A "
        "node that nothing recorded answers for is `unknown`, and what follows it is not reached."
    ),
    tag=TAG,
    role="editor",
    scope="executions:write",
    body=ReplayExecution,
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one run."),),
    answers={
        200: Answer("The comparison of a dry run", ComparisonView),
        202: Answer("The new run", StartedView, {"Location": "Where the new run is."}),
    },
    errors=(IdempotencyConflictError, NotPublishedError, InvalidGraphError, StreamConflictError, UnprocessableError),
)
OPERATIONS = (VERIFY_EXECUTION, REDRIVE_EXECUTION, FORK_EXECUTION, REPLAY_EXECUTION)
