"""The state of a run from its row and a few of its events: enough to end a run that has too many facts to fold."""

from __future__ import annotations

from shared.domain.execution.fold import apply_event, execution_fact
from shared.domain.execution.state import ExecutionState
from shared.events.execution import ErrorWorkflowStarted
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.tracing import CorrelationContext

# `ErrorWorkflowStarted` is recorded right before the failure; only signals may have come since.
LAST_FACTS = 20


async def partial_fold(
    events: EventStoreRepository, executions: ExecutionRepository, tenant_id: str, execution_id: str
) -> tuple[ExecutionState, CorrelationContext] | None:
    """The run without its nodes, and its correlation context; `None` when there is no such run.

    The state has what started the run and what waits for it, its status, and whether its error workflow was started:
    an end that is appended to it is the same as after a whole fold. It has no nodes, signals, deadline or response.
    """
    row = await executions.get(tenant_id, execution_id)
    first = await events.read_stream(tenant_id, execution_id, limit=1)
    if row is None or not first:
        return None
    state = ExecutionState(execution_id, tenant_id)
    apply_event(state, first[0])
    state.phase = "running" if row["status"] == "waiting" else row["status"]
    state.workflow_version, state.stream_version = row["workflow_version"], row["stream_version"]
    state.started_at, state.finished_at = row["started_at"], row["finished_at"]
    if state.started_at is not None:
        state.error_run = await _error_run(events, state)
    return state, CorrelationContext.of(first[0].metadata, execution_id)


async def _error_run(events: EventStoreRepository, state: ExecutionState) -> ErrorWorkflowStarted | None:
    after = max(0, state.stream_version - LAST_FACTS)
    error_run: ErrorWorkflowStarted | None = None
    for event in await events.read_stream(state.tenant_id, state.id, after, LAST_FACTS):
        if event.event_type == "ErrorWorkflowStarted":
            fact, _ = execution_fact(event)
            error_run = fact if isinstance(fact, ErrorWorkflowStarted) else None
        elif event.event_type == "ExecutionRedriven":
            error_run = None  # the redriven run may fail once more
    return error_run
