"""/api/executions, and /api/workflows/{id}/execute"""

from __future__ import annotations

from shared.errors import (
    ExecutionFinishedError,
    IdempotencyConflictError,
    InvalidGraphError,
    NotPublishedError,
    StreamConflictError,
    UnprocessableError,
)
from shared.http.operation import Answer, Operation, RequestHeader

TAG = "Executions"
EXECUTE_WORKFLOW = Operation(
    id="execute_workflow",
    method="POST",
    path="/api/workflows/{id}/execute",
    summary="Start a run",
    description="In the run, `$trigger.body` is the input.",
    tag=TAG,
    role="editor",
    scope="executions:write",
    body="executions.execute_workflow:ExecuteWorkflow",
    headers=(
        RequestHeader("Idempotency-Key", "Makes repetitions of this request one run."),
        RequestHeader("Prefer", "`wait=N` (at most 25): 200 with the run when it responds or ends in time."),
    ),
    answers={
        200: Answer("The run, which has ended or responded", "executions:ExecutionView"),
        202: Answer(
            "The run was started, or had been before",
            "executions:StartedView",
            {"Location": "Where the run is."},
        ),
    },
    errors=(IdempotencyConflictError, NotPublishedError, InvalidGraphError, UnprocessableError),
)
LIST_EXECUTIONS = Operation(
    id="list_executions",
    method="GET",
    path="/api/executions",
    summary="List runs",
    description="Newest first.",
    tag=TAG,
    role="viewer",
    scope="executions:read",
    query="executions:ListExecutions",
    answers={200: Answer("A page of runs", "executions:ExecutionPage")},
)
GET_EXECUTION = Operation(
    id="get_execution",
    method="GET",
    path="/api/executions/{id}",
    summary="Get a run",
    description="Computed from its events; with `at`, as it was after that event.",
    tag=TAG,
    role="viewer",
    scope="executions:read",
    query="executions:GetExecution",
    answers={200: Answer("The run", "executions:ExecutionView")},
)
LIST_EXECUTION_EVENTS = Operation(
    id="list_execution_events",
    method="GET",
    path="/api/executions/{id}/events",
    summary="List a run's events",
    description=(
        "In order. A page ends at `limit` events or at a megabyte of payloads, whichever comes first; a larger event "
        "is a page of its own. With `wait`, an empty response is delayed until there is an event or the run has ended; "
        "it is 429 where as many of the tenant's requests wait as may."
    ),
    tag=TAG,
    role="viewer",
    scope="executions:read",
    query="executions:ListExecutionEvents",
    answers={200: Answer("A page of events", "executions:EventPage")},
)
CANCEL_EXECUTION = Operation(
    id="cancel_execution",
    method="POST",
    path="/api/executions/{id}/cancel",
    summary="Cancel a run",
    description="No further node starts. A run that is cancelled already stays as it is.",
    tag=TAG,
    role="editor",
    scope="executions:write",
    body="executions.cancel_execution:CancelExecution",
    answers={200: Answer("The run is cancelled", "executions:StateView")},
    errors=(ExecutionFinishedError, StreamConflictError),
)
SEND_SIGNAL = Operation(
    id="send_signal",
    method="POST",
    path="/api/executions/{id}/signals/{name}",
    summary="Send a run a signal",
    description="It goes to the node that waits for it, or is kept until one does.",
    tag=TAG,
    role="editor",
    scope="executions:write",
    body="executions.send_signal:SendSignal",
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one signal."),),
    answers={200: Answer("The signal is recorded", "executions:StateView")},
    errors=(ExecutionFinishedError, IdempotencyConflictError, StreamConflictError, UnprocessableError),
    path_descriptions={"name": "The signal's name, as a `wait_for_signal` node has it."},
)
OPERATIONS = (EXECUTE_WORKFLOW, LIST_EXECUTIONS, GET_EXECUTION, LIST_EXECUTION_EVENTS, CANCEL_EXECUTION, SEND_SIGNAL)
