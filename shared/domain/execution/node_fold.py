"""Folds the facts about a run's nodes into its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.domain.execution.map_record import MapItems
from shared.domain.execution.node_paths import item_prefix, split_path
from shared.domain.execution.state import ExecutionState

if TYPE_CHECKING:
    from shared.events.node import (
        ItemFailed,
        ItemSucceeded,
        MapStarted,
        NodeFailed,
        NodeRetryScheduled,
        NodeSkipped,
        NodeStarted,
        NodeSucceeded,
        NodeWaiting,
    )

Change = Callable[[ExecutionState, Any, str], None]


def _node_started(state: ExecutionState, fact: NodeStarted, happened_at: str) -> None:
    state.node(fact.node_id).start(fact, happened_at)
    # A call's child run is cancelled with this run, even if the event that it waits was never stored.
    if fact.workflow_version is not None:
        state.has_called = True
    state.running.add(fact.node_id)
    _no_longer_waits(state, fact.node_id)


def _node_waits(state: ExecutionState, fact: NodeWaiting, happened_at: str) -> None:
    state.node(fact.node_id).wait(fact, happened_at)
    if fact.execution_id is not None:
        state.calls[fact.node_id] = fact.execution_id
    if fact.signal is not None:
        # After the record's `wait`, which sets how many signals the node passes over.
        state.signals.begin(fact.node_id, state.nodes[fact.node_id])
    state.wait(fact.node_id)
    state.running.discard(fact.node_id)


def _node_retries(state: ExecutionState, fact: NodeRetryScheduled, _happened_at: str) -> None:
    state.node(fact.node_id).wait_for_retry(fact)
    _no_longer_waits(state, fact.node_id)
    state.wait(fact.node_id)
    state.running.discard(fact.node_id)


def _node_succeeded(state: ExecutionState, fact: NodeSucceeded, happened_at: str) -> None:
    record = state.node(fact.node_id)
    taken = fact.signal
    if taken is None and record.signal is not None and "out" in fact.handles:
        # Older facts do not say which signal the node took.
        from shared.domain.json.check_budget import UNLIMITED, CheckBudget

        taken = state.signals.number_for(fact.node_id, CheckBudget(UNLIMITED))
    if taken is not None:
        # Before the wait ends below, which offers a reserved signal that was not taken to the other nodes.
        state.signals.take(taken)
    # Outputs that follow from others' are not stored again: a map's from its items, a passed-on one from its sources.
    if record.items is not None:
        output: object = record.items.output()
        record.output_bytes = record.items.output_bytes
    elif fact.output_of is not None:
        prefix = split_path(fact.node_id)[0]
        output = state.joined_output(fact.output_of, prefix)
        record.output_bytes = state.joined_bytes(fact.output_of, prefix)
    else:
        output, record.output_bytes = fact.output, state.fact_bytes
    record.succeed(fact, output, happened_at)
    _no_longer_open(state, fact.node_id)
    if fact.responds and state.response is None and isinstance(fact.output, dict):
        state.response = {"node_id": fact.node_id, **fact.output}


def _node_failed(state: ExecutionState, fact: NodeFailed, happened_at: str) -> None:
    record = state.node(fact.node_id)
    record.fail(fact, happened_at)
    record.output_bytes = state.fact_bytes
    _no_longer_open(state, fact.node_id)


def _node_skipped(state: ExecutionState, fact: NodeSkipped, happened_at: str) -> None:
    state.node(fact.node_id).skip(happened_at)


def _no_longer_open(state: ExecutionState, path: str) -> None:
    state.running.discard(path)
    _no_longer_waits(state, path)


def _no_longer_waits(state: ExecutionState, path: str) -> None:
    state.waiting.discard(path)
    state.signals.end(path, state.nodes[path].signal)
    if state.calls:
        state.calls.pop(path, None)


def _map_started(state: ExecutionState, fact: MapStarted, happened_at: str) -> None:
    record = state.node(fact.node_id)
    record.start_map(fact, happened_at)
    # An item's size is needed where it is passed on: an average is enough for the run's budget.
    if record.items is not None and record.items.values:
        record.items.value_bytes = state.fact_bytes // len(record.items.values)
    _no_longer_waits(state, fact.node_id)


def _item_succeeded(state: ExecutionState, fact: ItemSucceeded, _happened_at: str) -> None:
    prefix = item_prefix(fact.node_id, fact.index)
    items = state.items(fact.node_id)
    items.outputs[fact.index] = state.joined_output(fact.output_of, prefix) if fact.output_of else None
    items.output_bytes += state.joined_bytes(fact.output_of, prefix) if fact.output_of else 0
    _forget(state, items, fact.index)


def _item_failed(state: ExecutionState, fact: ItemFailed, _happened_at: str) -> None:
    items = state.items(fact.node_id)
    items.errors[fact.index] = fact.error
    _forget(state, items, fact.index)


def _forget(state: ExecutionState, items: MapItems, index: int) -> None:
    """Drops the node records of an item that has ended."""
    # A map within the item may have items in progress itself.
    for path in items.in_progress.pop(index, ()):
        # Before the record is dropped, of which it needs the signal's name.
        _no_longer_open(state, path)
        inner = state.nodes.pop(path).items
        if inner is not None:
            for inner_index in list(inner.in_progress):
                _forget(state, inner, inner_index)


# The change by each fact's name; the last argument is the fact's timestamp.
NODE_CHANGES: dict[str, Change] = {
    "NodeStarted": _node_started,
    "NodeWaiting": _node_waits,
    "NodeRetryScheduled": _node_retries,
    "NodeSucceeded": _node_succeeded,
    "NodeFailed": _node_failed,
    "NodeSkipped": _node_skipped,
    "MapStarted": _map_started,
    "ItemSucceeded": _item_succeeded,
    "ItemFailed": _item_failed,
}
