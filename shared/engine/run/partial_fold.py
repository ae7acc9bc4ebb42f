"""A run as its row and a few of its events tell it: enough to end it, where its facts are too many to be folded."""

from __future__ import annotations

from shared.domain.execution.fold import apply_event, execution_fact
from shared.domain.execution.state import ExecutionState
from shared.events.execution import ErrorWorkflowStarted
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.tracing import CorrelationContext

# An error workflow is told of a failure right before it; only signals may have come since.
LAST_FACTS = 20


async def partial_fold(
    events: EventStoreRepository, executions: ExecutionRepository, tenant_id: str, execution_id: str
) -> tuple[ExecutionState, CorrelationContext] | None:
    """The run without its nodes, and what caused it; `None` when there is none such.

    It knows who started it and who waits for it, how far it has come, and whether its error workflow has been told: an
    end that is appended to it is as true as one after a fold. It knows of no node, signal, deadline or response.
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
    found: ErrorWorkflowStarted | None = None
    for event in await events.read_stream(state.tenant_id, state.id, after, LAST_FACTS):
        if event.event_type == "ErrorWorkflowStarted":
            fact, _ = execution_fact(event)
            found = fact if isinstance(fact, ErrorWorkflowStarted) else None
        elif event.event_type == "ExecutionRedriven":
            found = None
    return found
