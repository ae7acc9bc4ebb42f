"""Which waiting node takes which signal: as the facts say, or as it follows where they do not."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.execution.fold import apply
from shared.domain.execution.state import ExecutionState
from shared.domain.json.check_budget import MAX_STEPS
from shared.errors import LimitExceededError
from shared.events.execution import ExecutionCancelled, ExecutionQueued, ExecutionStarted, SignalReceived
from shared.events.facts import ExecutionFact
from shared.events.node import NodeFailed, NodeSucceeded, NodeWaiting

AT = "2026-11-01T00:00:00.000000Z"
LATER = "2026-11-02T00:00:00.000000Z"
TEXT = {"type": "string"}


def after(*facts: ExecutionFact) -> ExecutionState:
    """A run that has started, and then these facts."""
    state = ExecutionState("run", "tenant")
    for fact in (ExecutionQueued("workflow", None, {"type": "manual"}), ExecutionStarted(1, "t"), *facts):
        apply(state, fact, AT)
    return state


def waits(node_id: str, schema: Any = None, passed_over: int | None = None) -> NodeWaiting:
    """A node waits for `go`."""
    return NodeWaiting(node_id, 1, LATER, {"name": "go", "schema": schema}, 0, [], "go", None, passed_over)


def sent(payload: Any, node_id: str | None = None) -> SignalReceived:
    """A signal `go`."""
    return SignalReceived("go", payload, None, node_id)


def took(node_id: str, output: Any, signal: int | None = None) -> NodeSucceeded:
    """The end of a wait."""
    return NodeSucceeded(node_id, 1, output, ["out"], 0, [], None, False, signal)


def taken(state: ExecutionState, node_id: str) -> SignalReceived | None:
    """The signal that a waiting node takes."""
    number = state.signals.number_for(node_id)
    return None if number is None else state.signals.numbered(number)


def test_facts_of_former_versions_are_judged() -> None:
    """Where they do not say which signal a node took, it is the first that fits."""
    facts = (sent(1), waits("w", TEXT), sent("a"), sent("b"))
    state = after(*facts)
    assert taken(state, "w") == sent("a")
    assert [one.payload for one in after(*facts, took("w", "a")).signals.kept] == [1, "b"]


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ((waits("w", TEXT, 0), sent(1, "w"), took("w", 1, 1)), []),
        ((sent("a"), sent("b"), waits("w", TEXT, 0), took("w", "b", 2)), ["a"]),
        ((took("copied", 1, 7), sent(1)), [1]),
    ],
)
def test_what_the_facts_say_is_not_judged_again(facts: tuple[ExecutionFact, ...], kept: list[Any]) -> None:
    """Though the schema would have it otherwise; a signal that another run received is none of this one's."""
    assert [one.payload for one in after(*facts).signals.kept] == kept


def test_signals_passed_over_are_not_looked_at_again() -> None:
    """The wait's beginning says that they do not fit."""
    assert taken(after(sent("a"), waits("w", TEXT, 1)), "w") is None
    assert taken(after(sent("a"), waits("w", TEXT, 0)), "w") == sent("a")


def test_signal_is_for_the_node_that_it_was_found_to_fit() -> None:
    """And not for another that waits, until the one no longer does."""
    facts = (waits("a", None, 0), waits("b", None, 0), sent(1, "b"))
    state = after(*facts)
    assert (taken(state, "a"), taken(state, "b")) == (None, sent(1, "b"))
    state = after(*facts, NodeFailed("b", 1, {"code": "limit", "message": ""}, "continue", 0))
    assert taken(state, "a") == sent(1, "b")


def test_waiting_run_with_a_signal_is_due() -> None:
    """At once; one that has nothing to take is due with its timer."""
    assert after(waits("w", TEXT, 0), sent("a", "w")).wake_at == AT
    assert after(waits("w", TEXT, 0), sent(1)).wake_at == LATER
    assert after(waits("w", TEXT, 0), sent("a", "w"), ExecutionCancelled(None)).wake_at is None


def test_signal_too_large_to_be_judged_is_no_endless_wait() -> None:
    """The run is due, and the node is told why it cannot go on."""
    state = after(waits("w", {"items": TEXT}), sent(["a"] * (MAX_STEPS + 1)))
    assert state.wake_at == AT
    with pytest.raises(LimitExceededError):
        taken(state, "w")
