"""/api/executions/{id}/…: what can be done with a run afterwards."""

from __future__ import annotations

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
from shared.http.operations.executions import TAG

VERIFY_EXECUTION = Operation(
    id="verify_execution",
    method="GET",
    path="/api/executions/{id}/verify",
    summary="Verify a run",
    description=(
        "Derives every decision and every pure output again from the recorded events, and checks the hash chain. What "
        "came from outside, such as effects' results, is taken as recorded."
    ),
    tag=TAG,
    role="viewer",
    scope="executions:read",
    answers={
        200: Answer(
            "Whether the run can be derived again, and where it differs first",
            "execution_verbs:VerificationView",
        )
    },
    errors=(UnprocessableError,),
)
REDRIVE_EXECUTION = Operation(
    id="redrive_execution",
    method="POST",
    path="/api/executions/{id}/redrive",
    summary="Redrive a run",
    description=(
        "Resumes a failed or cancelled run under its own id and on its own version: failed, cancelled and never-run "
        "nodes are run, completed ones are not run again. Effects keep their idempotency keys."
    ),
    tag=TAG,
    role="editor",
    scope="executions:write",
    answers={202: Answer("The resumed run", "executions:StartedView", {"Location": "Where the run is."})},
    errors=(ExecutionFinishedError, ExecutionNotFinishedError, InvalidGraphError, StreamConflictError),
)
FORK_EXECUTION = Operation(
    id="fork_execution",
    method="POST",
    path="/api/executions/{id}/fork",
    summary="Fork a run",
    description=(
        "Starts a new run from one node on: this node and all after it are run again, on a version of your choice. All "
        "other nodes keep their outcome. With `output`, the node is not run and has that output."
    ),
    tag=TAG,
    role="editor",
    scope="executions:write",
    body="executions.fork_execution:ForkExecution",
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one run."),),
    answers={202: Answer("The new run", "executions:StartedView", {"Location": "Where the new run is."})},
    errors=(IdempotencyConflictError, NotPublishedError, InvalidGraphError, StreamConflictError, UnprocessableError),
)
REPLAY_EXECUTION = Operation(
    id="replay_execution",
    method="POST",
    path="/api/executions/{id}/replay",
    summary="Replay a run",
    description=(
        "Runs again from its trigger, on a version of your choice. `live`: a new run. `dry_run`: nothing is stored or "
        "sent; effects and signals have their recorded outcomes, and the response compares both runs node by node. A "
        "node without a recorded outcome is `unknown`, and the nodes after it are not reached."
    ),
    tag=TAG,
    role="editor",
    scope="executions:write",
    body="executions.replay_execution:ReplayExecution",
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one run."),),
    answers={
        200: Answer("The comparison of a dry run", "execution_verbs:ComparisonView"),
        202: Answer("The new run", "executions:StartedView", {"Location": "Where the new run is."}),
    },
    errors=(IdempotencyConflictError, NotPublishedError, InvalidGraphError, StreamConflictError, UnprocessableError),
)
OPERATIONS = (VERIFY_EXECUTION, REDRIVE_EXECUTION, FORK_EXECUTION, REPLAY_EXECUTION)
