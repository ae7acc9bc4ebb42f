"""/api/executions, and /api/workflows/{id}/execute"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.commands.cancel_execution import CancelExecution
from shared.commands.execute_workflow import ExecuteWorkflow
from shared.commands.model import Moment, Uuid
from shared.commands.send_signal import SendSignal
from shared.errors import (
    ExecutionFinishedError,
    IdempotencyConflictError,
    InvalidGraphError,
    NotPublishedError,
    StreamConflictError,
    UnprocessableError,
)
from shared.http.operation import Answer, Operation, RequestHeader
from shared.http.operations.views import Id, Object, Time, View, may_be_missing
from shared.http.query import PageQuery, Position, Query, WholeNumber

TAG = "Executions"
Status = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]
NodeStatus = Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]
MAX_POLL_SECONDS = 20


class ErrorView(View):
    """Why something failed."""

    code: str
    message: str
    node_id: str = may_be_missing()
    details: Any = may_be_missing()


class TriggerView(View):
    """What started the run; in the list, without what was sent."""

    type: Literal["webhook", "manual", "schedule", "call", "error"]
    node_id: str = may_be_missing()
    webhook_id: Id = may_be_missing()
    provider: str = may_be_missing()
    delivery_id: str = may_be_missing()
    delivery_key: str = may_be_missing()
    event_type: str | None = may_be_missing()
    method: str = may_be_missing()
    headers: Object = may_be_missing()
    query: Object = may_be_missing()
    body: Any = may_be_missing()
    body_omitted: bool = may_be_missing("The body is too large for this answer; see the events.")


class ExecutionNodeView(View):
    """What became of one node."""

    status: NodeStatus
    attempts: int
    started_at: Time | None
    finished_at: Time | None
    output: Any = may_be_missing()
    output_omitted: bool = may_be_missing("Too large for this answer; see the events.")
    error: ErrorView = may_be_missing()
    handle: str | list[str] = may_be_missing("The handle it chose; several where a switch chose so.")
    undefined: list[str] = may_be_missing("The parameters whose expression led nowhere.")
    retry_at: Time = may_be_missing("When the next attempt starts.")
    wake_at: Time = may_be_missing("When the node's wait ends.")
    signal: str = may_be_missing("The name of the signal that it waits for.")
    execution_id: Id = may_be_missing("The run that it has called and waits for, or waited for.")


class ResponseView(View):
    """What a `respond` node has answered."""

    node_id: str
    status: int
    headers: Object
    body: Any
    body_omitted: bool = may_be_missing("Too large for this answer; see the events.")


class ExecutionSummary(View):
    """A run."""

    id: Id
    workflow_id: Id
    workflow_version: int | None
    status: Status
    trigger: TriggerView
    error: ErrorView = may_be_missing()
    parent_id: Id = may_be_missing()
    forked_from: Id = may_be_missing()
    replayed_from: Id = may_be_missing()
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class ExecutionView(ExecutionSummary):
    """A run with every node of its graph."""

    output: Any
    output_omitted: bool = may_be_missing("Too large for this answer; see the events.")
    error_execution_id: Id = may_be_missing("The run of the error workflow that was told of the failure.")
    parent_node_id: str = may_be_missing("The node of the parent that has called this run.")
    response: ResponseView = may_be_missing("What those who wait for the run are answered.")
    nodes: dict[str, ExecutionNodeView]


class ExecutionPage(View):
    """A page of runs."""

    items: list[ExecutionSummary]
    next_cursor: str | None


class StartedView(View):
    """A run that was started."""

    execution_id: Id
    status: Status
    url: Annotated[str, Field(description="Where the run can be watched.")]


class StateView(View):
    """A run's state."""

    id: Id
    status: Status


class EventView(View):
    """A recorded fact."""

    id: Id
    sequence_number: int
    event_type: str
    stream_id: Id
    stream_type: Literal["workflow", "webhook", "api_key", "execution", "secret"]
    stream_version: int
    timestamp: Time
    payload: Object
    metadata: Object


class EventPage(View):
    """A page of events."""

    items: list[EventView]
    next_cursor: str | None


class ListExecutions(PageQuery):
    """Which runs."""

    workflow_id: Uuid | None = None
    parent_id: Annotated[Uuid | None, Field(description="Runs that this one has started: calls, an error run.")] = None
    status: Status | None = None
    since: Annotated[Moment | None, Field(description="Created then or later.")] = None
    until: Annotated[Moment | None, Field(description="Created before.")] = None


class GetExecution(Query):
    """As it was when."""

    at: Annotated[Position | None, Field(description="After the event with this sequence number; unset: now.")] = None


class ListExecutionEvents(PageQuery):
    """Which events."""

    after: Annotated[Position, Field(description="A stream version: events after it. A cursor goes before it.")] = 0
    wait: Annotated[
        WholeNumber, Field(ge=0, le=MAX_POLL_SECONDS, description="Seconds to wait for an event where there is none.")
    ] = 0


EXECUTE_WORKFLOW = Operation(
    id="execute_workflow",
    method="POST",
    path="/api/workflows/{id}/execute",
    summary="Start a run",
    description="In the run, `$trigger.body` is the input.",
    tag=TAG,
    role="editor",
    scope="executions:write",
    body=ExecuteWorkflow,
    headers=(
        RequestHeader("Idempotency-Key", "Makes repetitions of this request one run."),
        RequestHeader("Prefer", "`wait=N` (at most 25): 200 with the run when it responds or ends in time."),
    ),
    answers={
        200: Answer("The run, which has ended or responded", ExecutionView),
        202: Answer("The run was started, or had been before", StartedView, {"Location": "Where the run is."}),
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
    query=ListExecutions,
    answers={200: Answer("A page of runs", ExecutionPage)},
)
GET_EXECUTION = Operation(
    id="get_execution",
    method="GET",
    path="/api/executions/{id}",
    summary="Get a run",
    description="Folded from its events; `at` shows it as it was then.",
    tag=TAG,
    role="viewer",
    scope="executions:read",
    query=GetExecution,
    answers={200: Answer("The run", ExecutionView)},
)
LIST_EXECUTION_EVENTS = Operation(
    id="list_execution_events",
    method="GET",
    path="/api/executions/{id}/events",
    summary="List a run's events",
    description="In order. With `wait`, an empty answer is held back until there is an event or the run has ended.",
    tag=TAG,
    role="viewer",
    scope="executions:read",
    query=ListExecutionEvents,
    answers={200: Answer("A page of events", EventPage)},
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
    body=CancelExecution,
    answers={200: Answer("The run is cancelled", StateView)},
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
    body=SendSignal,
    headers=(RequestHeader("Idempotency-Key", "Makes repetitions of this request one signal."),),
    answers={200: Answer("The signal is recorded", StateView)},
    errors=(ExecutionFinishedError, IdempotencyConflictError, StreamConflictError, UnprocessableError),
    path_descriptions={"name": "The signal's name, as a `wait_for_signal` node has it."},
)
OPERATIONS = (EXECUTE_WORKFLOW, LIST_EXECUTIONS, GET_EXECUTION, LIST_EXECUTION_EVENTS, CANCEL_EXECUTION, SEND_SIGNAL)
