"""Folds a run's facts into its state.

Unlike the small aggregates', this state is changed in place: a fresh copy per event would cost the square of a run's
length, which may be thousands of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import in_utc, unix_seconds
from shared.events.codec import by_name, decode
from shared.events.envelope import NewEvent, RecordedEvent
from shared.events.execution import RunFact

if TYPE_CHECKING:
    from shared.domain.execution.node_fold import Change
    from shared.events.execution import (
        ErrorWorkflowStarted,
        ExecutionCancelled,
        ExecutionFailed,
        ExecutionQueued,
        ExecutionRedriven,
        ExecutionStarted,
        ExecutionSucceeded,
        SignalReceived,
    )
    from shared.events.facts import ExecutionFact, Fact

_RUN_FACTS = by_name(RunFact)


@cache
def _facts() -> Mapping[str, type[Fact]]:
    """All facts about executions, those about nodes among them."""
    from shared.events.node import NodeFact  # starting a run does not need them

    return {**_RUN_FACTS, **by_name(NodeFact)}


def fold(events: Iterable[RecordedEvent]) -> ExecutionState | None:
    """The run's state after the events of its stream, which are in order; `None` without events."""
    state: ExecutionState | None = None
    for event in events:
        if state is None:
            state = ExecutionState(event.stream_id, event.tenant_id)
        apply_event(state, event)
    return state


def apply_event(state: ExecutionState, event: NewEvent | RecordedEvent) -> None:
    """Applies the next event of its stream to the state."""
    apply(state, *execution_fact(event), event.size_bytes if isinstance(event, RecordedEvent) else 0)


def execution_fact(event: NewEvent | RecordedEvent) -> tuple[ExecutionFact, str]:
    """The fact in an event of a run's stream, and its timestamp in the service's form."""
    facts = _RUN_FACTS if event.event_type in _RUN_FACTS else _facts()
    fact = decode(facts, event.event_type, event.payload, event.metadata.get("schema_version", 1))
    return fact, in_utc(event.timestamp) or event.timestamp  # type: ignore[return-value]  # the stream's type is `execution`


def apply(state: ExecutionState, fact: ExecutionFact, happened_at: str, size_bytes: int = 0) -> None:
    """Applies the next fact to the state; `happened_at` is its timestamp in the service's form, `size_bytes` what its
    payload takes in the store.

    A fact that is not about an execution raises `TypeError`.
    """
    name = type(fact).__name__
    change = _CHANGES.get(name) or _node_changes().get(name)
    if change is None:
        raise TypeError(f"{name} is no fact about an execution.")
    state.stream_version += 1
    state.changed_at = happened_at
    state.size_bytes += size_bytes
    state.fact_bytes = size_bytes
    change(state, fact, happened_at)


def _queued(state: ExecutionState, fact: ExecutionQueued, happened_at: str) -> None:
    state.workflow_id, state.workflow_version, state.trigger = fact.workflow_id, fact.workflow_version, fact.trigger
    state.parent_id, state.forked_from, state.replayed_from = fact.parent_id, fact.forked_from, fact.replayed_from
    state.caller, state.created_at = fact.caller, happened_at


def _started(state: ExecutionState, fact: ExecutionStarted, happened_at: str) -> None:
    state.phase, state.started_at = "running", happened_at
    state.workflow_version, state.trigger_node_id = fact.workflow_version, fact.trigger_node_id
    _set_deadline(state, fact.deadline)
    # The trigger node has no event of its own: it is settled by this one, and its output is the trigger.
    record = state.node(fact.trigger_node_id)
    record.status, record.output, record.handles = "succeeded", state.trigger, ("out",)
    # So far the run has stored its trigger, and little else.
    record.output_bytes = state.size_bytes
    record.started_at = record.finished_at = happened_at


def _redriven(state: ExecutionState, fact: ExecutionRedriven, _happened_at: str) -> None:
    # A run that was cancelled before it started has no version yet, and is queued again.
    state.phase = "queued" if state.started_at is None else "running"
    state.output = state.error = state.error_run = state.finished_at = None
    _set_deadline(state, fact.deadline)
    for path in fact.nodes:
        call = fact.calls.get(path)
        # A node whose child run was redriven waits for it again; every other node is decided anew.
        if call is None:
            state.nodes[path].reset()
        else:
            state.nodes[path].wait_again(call["wake_at"])
            state.wait(path)
            state.calls[path] = call["execution_id"]


def _signalled(state: ExecutionState, fact: SignalReceived, _happened_at: str) -> None:
    state.signals.receive(fact)


def _error_told(state: ExecutionState, fact: ErrorWorkflowStarted, _happened_at: str) -> None:
    state.error_run = fact


def _succeeded(state: ExecutionState, fact: ExecutionSucceeded, happened_at: str) -> None:
    state.phase, state.output, state.finished_at = "succeeded", fact.output, happened_at


def _failed(state: ExecutionState, fact: ExecutionFailed, happened_at: str) -> None:
    state.phase, state.error = "failed", fact.error
    _stop(state, happened_at)


def _cancelled(state: ExecutionState, _fact: ExecutionCancelled, happened_at: str) -> None:
    state.phase = "cancelled"
    _stop(state, happened_at)


def _stop(state: ExecutionState, happened_at: str) -> None:
    state.finished_at = happened_at
    # Nodes in progress have no event that ends them: the end of the run does.
    for record in state.nodes.values():
        if record.status in ("running", "waiting"):
            record.cancel(happened_at)
    state.running.clear()
    state.waiting.clear()
    state.signals.stop()
    state.calls.clear()


def _set_deadline(state: ExecutionState, deadline: str | None) -> None:
    state.deadline, state.deadline_at = deadline, None if deadline is None else unix_seconds(deadline)


# By name, since `match` would be slower: a run may have a hundred thousand facts.
_CHANGES: dict[str, Change] = {
    "ExecutionQueued": _queued,
    "ExecutionStarted": _started,
    "ExecutionRedriven": _redriven,
    "SignalReceived": _signalled,
    "ErrorWorkflowStarted": _error_told,
    "ExecutionSucceeded": _succeeded,
    "ExecutionFailed": _failed,
    "ExecutionCancelled": _cancelled,
}


@cache
def _node_changes() -> Mapping[str, Change]:
    """The changes by the facts about nodes."""
    from shared.domain.execution.node_fold import NODE_CHANGES  # as with their facts

    return NODE_CHANGES
