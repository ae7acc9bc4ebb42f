"""How a run is written: when it is due, and in text that the database keeps."""

from __future__ import annotations

from shared.domain.execution.fold import apply
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import unix_seconds
from shared.events.codec import new_event
from shared.events.execution import ExecutionFailed, ExecutionQueued
from shared.ids import new_id
from shared.repositories.run_append import first_append

AT = "2026-11-01T00:00:00.000000Z"


def test_a_new_run_is_due_when_a_drain_has_had_the_time_for_it() -> None:
    """Its job comes to a drain in a moment; the sweep looks after what nobody has begun 10 to 30 seconds later."""
    queued = new_event(new_id(), ExecutionQueued("w", None, {"type": "manual"}), AT, {"actor": "a"})
    append = first_append(new_id(), new_id(), [queued])
    assert append.row is not None
    assert 10 <= unix_seconds(append.row["wake_at"]) - unix_seconds(AT) <= 30


def test_a_row_has_only_text_that_the_database_keeps() -> None:
    """Whatever made the facts: those of former versions, and of other clients, too."""
    state = ExecutionState("run", "tenant")
    trigger = {"type": "webhook", "event_type": "a\0b", "provider": "\ud800", "delivery_key": "ok"}
    apply(state, ExecutionQueued("w", None, trigger), AT)
    apply(state, ExecutionFailed({"code": "limit", "message": "\0", "node_id": "n"}), AT)
    found = row(state)
    assert found["trigger"] == {
        "type": "webhook",
        "event_type": "a\ufffdb",
        "provider": "\ufffd",
        "delivery_key": "ok",
    }
    assert (found["error"] or {})["message"] == "\ufffd"
