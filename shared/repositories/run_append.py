"""What to write about a run: its row, and whom it waits for or who waits for it, follow from its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.domain.execution import ExecutionState
from shared.domain.execution_row import row
from shared.events.record import NewEvent
from shared.repositories.event_store import Append

JsonObject = dict[str, Any]


def run_append(
    state: ExecutionState,
    events: Sequence[NewEvent],
    wake_at: str | None = None,
    deliveries: tuple[JsonObject, ...] = (),
    stored_payloads: frozenset[str] = frozenset(),
) -> Append:
    """The append of a run's last events, which are in its state already.

    `wake_at` overrides when somebody must look at an unfinished run again: with the moment of the events it is due at
    once, so that the drain's sweep finds it where no hint reaches a drain. The rest is as in `Append`.
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
        calls=tuple(state.calls.values()),
        awaiting_id=state.awaiting_id,
    )
