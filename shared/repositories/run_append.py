"""Makes the append of a run: its row, the child runs it waits for and the parent that waits follow from its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.domain.execution.fold import apply_event
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp, unix_seconds
from shared.events.envelope import NewEvent
from shared.repositories.append import Append, StoredPayload

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry

# A run is enqueued right after it is stored. If it were due at once, each sweep would claim the backlog, and enqueue
# again what is in the queue already.
FIRST_DUE_SECONDS = 10.0


def run_append(
    state: ExecutionState,
    events: Sequence[NewEvent],
    wake_at: str | None = None,
    deliveries: tuple[DeliveryLogEntry, ...] = (),
    stored_payloads: frozenset[str] = frozenset(),
    encoded: Sequence[StoredPayload] = (),
    is_at_work: bool = False,
) -> Append:
    """The append of a run's last events, which have been applied to `state`.

    `wake_at` overrides when an unfinished run is due. `is_at_work`: the drain goes on with the run, and will write for
    which child runs it waits when it is parked. The rest is as in `Append`.
    """
    return Append(
        tenant_id=state.tenant_id,
        stream_id=state.id,
        stream_type="execution",
        expected_version=state.stream_version - len(events),
        events=tuple(events),
        row=row(state, wake_at),
        deliveries=deliveries,
        stored_payloads=stored_payloads,
        calls=() if is_at_work else tuple(state.calls.values()),
        awaiting_id=state.awaiting_id,
        encoded=tuple(encoded),
    )


def first_append(
    tenant_id: str,
    execution_id: str,
    events: Sequence[NewEvent],
    deliveries: tuple[DeliveryLogEntry, ...] = (),
    stored_payloads: frozenset[str] = frozenset(),
    due_in_seconds: float = FIRST_DUE_SECONDS,
) -> Append:
    """The append of a run's first events, at least one; the rest is as in `run_append`.

    The run is due in `due_in_seconds`: if it could not be enqueued, the sweep finds it then.
    """
    state = ExecutionState(execution_id, tenant_id)
    for event in events:
        apply_event(state, event)
    due_at = timestamp(unix_seconds(events[0].timestamp) + due_in_seconds) if due_in_seconds else events[0].timestamp
    return run_append(state, events, due_at, deliveries, stored_payloads)
