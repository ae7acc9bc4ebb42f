"""The shapes of answers under /api/executions, and /api/workflows/{id}/execute."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.http.parameters.executions import Status
from shared.http.views.common import Id, Object, Time, View, may_be_missing

NodeStatus = Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]


class ErrorView(View):
    """Why something failed."""

    code: str
    message: str
    node_id: str = may_be_missing()
    details: object = may_be_missing()


class TriggerView(View):
    """What started the run; in lists without method, headers, query and body."""

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
    body: object = may_be_missing()
    body_omitted: bool = may_be_missing("The body is too large for this response; see the events.")


class ExecutionNodeView(View):
    """One node of a run."""

    status: NodeStatus
    attempts: int
    started_at: Time | None
    finished_at: Time | None
    output: object = may_be_missing()
    output_omitted: bool = may_be_missing("Too large for this response; see the events.")
    error: ErrorView = may_be_missing()
    handle: str | list[str] = may_be_missing("The handle it chose; several where a switch chose so.")
    undefined: list[str] = may_be_missing("The parameters whose expression has no value.")
    retry_at: Time = may_be_missing("When the next attempt starts.")
    wake_at: Time = may_be_missing("When the node's wait ends.")
    signal: str = may_be_missing("The name of the signal that it waits for.")
    execution_id: Id = may_be_missing("The child run that it waits or waited for.")


class ResponseView(View):
    """The response of a `respond` node."""

    node_id: str
    status: int
    headers: Object
    body: object
    body_omitted: bool = may_be_missing("Too large for this response; see the events.")


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

    output: object
    output_omitted: bool = may_be_missing("Too large for this response; see the events.")
    error_execution_id: Id = may_be_missing("The run of the error workflow that was started for the failure.")
    parent_node_id: str = may_be_missing("The node of the parent that has called this run.")
    response: ResponseView = may_be_missing("The reply to clients that wait for the run.")
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
