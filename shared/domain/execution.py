"""The execution aggregate: one run of one version of a workflow, folded from its facts.

Unlike the small aggregates, the state is changed in place: a run of thousands of nodes folded into a fresh copy per
event would cost the square of its length. What follows from the state is in `shared/domain/fates.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.domain.json_schema import fits
from shared.domain.map_items import MapItems
from shared.domain.node_record import NodeRecord
from shared.domain.paths import item_of, item_prefix, split_path
from shared.domain.timestamps import in_utc, timestamp, unix_seconds
from shared.events.codec import ExecutionFact, decode
from shared.events.execution import (
    ErrorWorkflowStarted,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionQueued,
    ExecutionRedriven,
    ExecutionStarted,
    ExecutionSucceeded,
    ItemFailed,
    ItemSucceeded,
    MapStarted,
    NodeFailed,
    NodeRetryScheduled,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
    NodeWaiting,
    SignalReceived,
)
from shared.events.record import RecordedEvent

JsonObject = dict[str, Any]

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
# A node in one of these has had its fate decided for good.
SETTLED = frozenset({"succeeded", "failed", "skipped"})
# How long after its last event somebody looks at a run again. The engine sets a later time for a long effect.
LEASE_SECONDS = 60.0


@dataclass(slots=True)
class ExecutionState:
    """A run after its events. `nodes` holds those that anything has happened to, by path.

    `running` and `waiting` are paths of nodes that do so themselves; a map does neither, its items' nodes do. `calls`
    has, by path, the runs that waiting nodes have called; `has_called`: there may be others that nobody waits for.
    `deadline_at` is `deadline` in Unix seconds.
    """

    id: str
    tenant_id: str
    workflow_id: str = ""
    workflow_version: int | None = None
    phase: str = "queued"
    trigger: JsonObject = field(default_factory=dict)
    trigger_node_id: str | None = None
    deadline: str | None = None
    deadline_at: float | None = None
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    output: Any = None
    error: JsonObject | None = None
    error_run: ErrorWorkflowStarted | None = None
    parent_id: str | None = None
    caller: JsonObject | None = None
    forked_from: str | None = None
    replayed_from: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    changed_at: str | None = None
    stream_version: int = 0
    running: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    calls: dict[str, str] = field(default_factory=dict)
    has_called: bool = False
    signals: list[SignalReceived] = field(default_factory=list)
    signal_keys: dict[str, SignalReceived] = field(default_factory=dict)
    signal_count: int = 0
    response: JsonObject | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self.phase in TERMINAL

    @property
    def depth(self) -> int:
        """How many runs above this one have called one another."""
        return self.caller["depth"] if self.caller is not None else 0

    @property
    def is_awaited(self) -> bool:
        """Whether the run that called this one waits for its end."""
        return self.caller is not None and self.caller["is_awaited"]

    @property
    def awaiting_id(self) -> str | None:
        """The run that waits for this one and is to go on, now that it has ended."""
        return self.parent_id if self.is_awaited and self.is_terminal else None

    @property
    def handles_error(self) -> bool:
        """Whether this run, or one above it, is that of an error workflow."""
        is_called = self.caller is not None and self.caller["handles_error"]
        return is_called or self.trigger.get("type") == "error"

    @property
    def status(self) -> str:
        """`waiting` while nothing runs and a timer is set, else how far the run has come."""
        return "waiting" if self.phase == "running" and self.waiting and not self.running else self.phase

    @property
    def wake_at(self) -> str | None:
        """When somebody must look again: at the earliest timer of a waiting run, else a lease after its last event."""
        if self.is_terminal or self.changed_at is None:
            return None
        if self.status == "waiting":
            timer = min(self._due_at(node_id) or self.changed_at for node_id in self.waiting)
            return timer if self.deadline is None else min(timer, self.deadline)
        return timestamp(unix_seconds(self.changed_at) + LEASE_SECONDS)

    def signal_for(self, node_id: str) -> SignalReceived | None:
        """The first kept signal that a waiting node takes: of its name, and with a payload that fits its schema."""
        record = self.nodes.get(node_id)
        if record is None or record.signal is None:
            return None
        schema = (record.parameters or {}).get("schema")
        return next((one for one in self.signals if one.name == record.signal and fits(schema, one.payload)), None)

    def _due_at(self, node_id: str) -> str | None:
        # A signal that somebody waits for is a reason to look at once.
        return None if self.signal_for(node_id) is not None else self.nodes[node_id].timer

    def node(self, node_id: str) -> NodeRecord:
        """The node's record, made when nothing has happened to it so far."""
        record = self.nodes.get(node_id)
        if record is None:
            record = self.nodes[node_id] = NodeRecord()
            if "]" in node_id:
                items, index = self._item(split_path(node_id)[0])
                items.under_way.setdefault(index, []).append(node_id)
        return record

    def is_settled(self, node_id: str) -> bool:
        """Whether the node's fate is decided for good."""
        record = self.nodes.get(node_id)
        return record is not None and record.status in SETTLED

    def joined_output(self, sources: Sequence[str], prefix: str = "") -> Any:
        """The output of one node, or of several an object by node id: what `$input` is to their successor.

        A node without predecessors within a map's item has the item as its input.
        """
        if len(sources) == 1:
            return self.nodes[prefix + sources[0]].output
        if sources:
            return {source: self.nodes[prefix + source].output for source in sources}
        return self.item(prefix) if prefix else None

    def item(self, prefix: str) -> Any:
        """The item whose nodes have this prefix."""
        items, index = self._item(prefix)
        return items.values[index]

    def _item(self, prefix: str) -> tuple[MapItems, int]:
        map_path, index = item_of(prefix)
        items = self.nodes[map_path].items
        assert items is not None, f"{map_path} is no map that has started"
        return items, index

    def apply(self, fact: ExecutionFact, happened_at: str) -> None:
        """Takes one more fact in, which happened at `happened_at` (the service's form of time)."""
        self.stream_version += 1
        self.changed_at = happened_at
        if isinstance(fact, NodeSucceeded):
            taken = self.signal_for(fact.node_id) if "out" in fact.handles else None
            if taken is not None:
                self.signals = [one for one in self.signals if one is not taken]
            self._finish(fact.node_id, "succeeded", fact.attempt, fact.evaluated_at, happened_at, fact.handles)
            record = self.nodes[fact.node_id]
            record.output, record.undefined = self._yielded(record, fact), fact.undefined
            if fact.responds and self.response is None:
                self.response = {"node_id": fact.node_id, **fact.output}
        elif isinstance(fact, NodeSkipped):
            record = self.node(fact.node_id)
            record.status, record.finished_at = "skipped", happened_at
        elif isinstance(fact, (ExecutionQueued, ExecutionStarted)):
            self._begin(fact, happened_at)
        elif isinstance(fact, (ExecutionSucceeded, ExecutionFailed, ExecutionCancelled)):
            self._end(fact, happened_at)
        elif isinstance(fact, (NodeStarted, NodeFailed, NodeRetryScheduled, NodeWaiting)):
            self._attempt(fact, happened_at)
        elif isinstance(fact, (MapStarted, ItemSucceeded, ItemFailed)):
            self._map(fact, happened_at)
        elif isinstance(fact, SignalReceived):
            self._receive(fact)
        elif isinstance(fact, ExecutionRedriven):
            self._redrive(fact)
        elif isinstance(fact, ErrorWorkflowStarted):
            self.error_run = fact
        else:
            raise TypeError(f"{type(fact).__name__} is no fact about an execution.")

    def _yielded(self, record: NodeRecord, fact: NodeSucceeded) -> Any:
        if record.items is not None:
            return record.items.output()
        if fact.output_of is None:
            return fact.output
        return self.joined_output(fact.output_of, split_path(fact.node_id)[0])

    def _map(self, fact: MapStarted | ItemSucceeded | ItemFailed, happened_at: str) -> None:
        record = self.node(fact.node_id)
        if isinstance(fact, MapStarted):
            record.status, record.attempts, record.retry_at, record.error = "running", fact.attempt, None, None
            record.started_at = record.started_at or happened_at
            record.parameters, record.evaluated_at, record.undefined = (
                fact.parameters,
                fact.evaluated_at,
                fact.undefined,
            )
            self._no_longer_waits(fact.node_id)
            if record.items is None:
                record.items = MapItems(fact.parameters["items"])
            # Another attempt is one at the items that failed; those that succeeded are kept.
            record.items.errors.clear()
            return
        assert record.items is not None, "an item's end comes after its map's start"
        if isinstance(fact, ItemSucceeded):
            prefix = item_prefix(fact.node_id, fact.index)
            record.items.outputs[fact.index] = self.joined_output(fact.output_of, prefix) if fact.output_of else None
        else:
            record.items.errors[fact.index] = fact.error
        self._forget(record.items, fact.index)

    def _forget(self, items: MapItems, index: int) -> None:
        for path in items.under_way.pop(index, ()):
            self.running.discard(path)
            self._no_longer_waits(path)
            inner = self.nodes.pop(path).items
            for inner_index in list(inner.under_way) if inner is not None else ():
                self._forget(inner, inner_index)  # type: ignore[arg-type]  # there are none without it

    def _redrive(self, fact: ExecutionRedriven) -> None:
        self.phase = "queued" if self.started_at is None else "running"
        self.output = self.error = self.error_run = self.finished_at = None
        self._set_deadline(fact.deadline)
        for path in fact.nodes:
            call = fact.calls.get(path)
            if call is None:
                self.nodes[path].reset()
            else:
                self.nodes[path].wait_again(call["wake_at"])
                self.waiting.add(path)
                self.calls[path] = call["execution_id"]

    def _receive(self, fact: SignalReceived) -> None:
        self.signal_count += 1
        self.signals.append(fact)
        if fact.key is not None:
            self.signal_keys[fact.key] = fact

    def _begin(self, fact: ExecutionQueued | ExecutionStarted, happened_at: str) -> None:
        if isinstance(fact, ExecutionQueued):
            self.workflow_id, self.workflow_version, self.trigger = (
                fact.workflow_id,
                fact.workflow_version,
                fact.trigger,
            )
            self.parent_id, self.forked_from, self.replayed_from = fact.parent_id, fact.forked_from, fact.replayed_from
            self.caller, self.created_at = fact.caller, happened_at
        else:
            self.phase, self.started_at = "running", happened_at
            self.workflow_version, self.trigger_node_id = fact.workflow_version, fact.trigger_node_id
            self._set_deadline(fact.deadline)
            record = self.node(fact.trigger_node_id)
            record.status, record.output, record.handles = "succeeded", self.trigger, ("out",)
            record.started_at = record.finished_at = happened_at

    def _attempt(self, fact: NodeStarted | NodeFailed | NodeRetryScheduled | NodeWaiting, happened_at: str) -> None:
        if isinstance(fact, NodeFailed):
            handles = {"continue": ("out",), "route": ("error",)}.get(fact.handled, ())
            self._finish(fact.node_id, "failed", fact.attempt, fact.evaluated_at, happened_at, handles)
            record = self.nodes[fact.node_id]
            record.error, record.output, record.handled = fact.error, fact.error if handles else None, fact.handled
        elif isinstance(fact, NodeStarted):
            record = self.node(fact.node_id)
            record.status, record.attempts, record.retry_at = "running", fact.attempt, None
            record.parameters, record.evaluated_at, record.key = (
                fact.parameters,
                fact.evaluated_at,
                fact.idempotency_key,
            )
            record.started_at = record.started_at or happened_at
            if fact.workflow_version is not None:
                record.workflow_version, record.called, self.has_called = fact.workflow_version, None, True
            self.running.add(fact.node_id)
            self._no_longer_waits(fact.node_id)
        else:
            record = self.node(fact.node_id)
            record.status, record.attempts = "waiting", fact.attempt
            if isinstance(fact, NodeWaiting):
                record.started_at, record.wake_at = record.started_at or happened_at, fact.wake_at
                record.parameters, record.evaluated_at = fact.parameters, fact.evaluated_at
                record.undefined, record.signal = fact.undefined, fact.signal
                if fact.execution_id is not None:
                    record.called = self.calls[fact.node_id] = fact.execution_id
            else:
                record.retry_at, record.wake_at, record.error = fact.retry_at, None, fact.error
                self._no_longer_waits(fact.node_id)
            self.waiting.add(fact.node_id)
            self.running.discard(fact.node_id)

    def _finish(
        self, node_id: str, status: str, attempt: int, evaluated_at: int, happened_at: str, handles: Sequence[str]
    ) -> None:
        record = self.node(node_id)
        record.status, record.attempts, record.finished_at, record.handles = status, attempt, happened_at, handles
        record.retry_at = record.wake_at = record.error = None
        self.running.discard(node_id)
        self._no_longer_waits(node_id)
        if record.evaluated_at is None:
            record.evaluated_at = evaluated_at

    def _set_deadline(self, deadline: str | None) -> None:
        self.deadline, self.deadline_at = deadline, None if deadline is None else unix_seconds(deadline)

    def _no_longer_waits(self, path: str) -> None:
        self.waiting.discard(path)
        if self.calls:
            self.calls.pop(path, None)

    def _end(self, fact: ExecutionSucceeded | ExecutionFailed | ExecutionCancelled, happened_at: str) -> None:
        self.finished_at = happened_at
        if isinstance(fact, ExecutionSucceeded):
            self.phase, self.output = "succeeded", fact.output
            return
        self.phase = "cancelled" if isinstance(fact, ExecutionCancelled) else "failed"
        if isinstance(fact, ExecutionFailed):
            self.error = fact.error
        for record in self.nodes.values():
            if record.status in ("running", "waiting"):
                record.status, record.finished_at, record.retry_at, record.wake_at = (
                    "cancelled",
                    happened_at,
                    None,
                    None,
                )
        self.running.clear()
        self.waiting.clear()
        self.calls.clear()


def fold(events: Iterable[RecordedEvent]) -> ExecutionState | None:
    """The run that the events of its stream, in order, lead to; `None` without events."""
    state: ExecutionState | None = None
    for event in events:
        if state is None:
            state = ExecutionState(event.stream_id, event.tenant_id)
        apply_event(state, event)
    return state


def apply_event(state: ExecutionState, event: RecordedEvent) -> None:
    """Takes one more event of its stream into the state."""
    state.apply(*execution_fact(event))


def execution_fact(event: RecordedEvent) -> tuple[ExecutionFact, str]:
    """The fact in an event of a run's stream, and when it happened, in the service's form of time."""
    fact = decode(event.event_type, event.payload, event.metadata.get("schema_version", 1))
    return fact, in_utc(event.timestamp) or event.timestamp  # type: ignore[return-value]  # the stream's type is `execution`
