"""The execution aggregate: one run of one version of a workflow.

`shared/domain/execution/fold.py` folds its facts into it; `shared/domain/execution/node_readiness.py` decides what
follows from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.execution.signals import Signals
from shared.domain.timestamps import timestamp, unix_seconds
from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.domain.execution.map_record import MapItems
    from shared.domain.execution.node_record import NodeRecord
    from shared.domain.execution.timer_heap import Timers
    from shared.events.execution import ErrorWorkflowStarted


TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
# A node with one of these statuses does not change any more, unless the run is redriven.
SETTLED = frozenset({"succeeded", "failed", "skipped"})
# A run without new events for this long is due again: its drain may have died. The engine extends it for long effects.
LEASE_SECONDS = 60.0


@dataclass(slots=True)
class ExecutionState:
    """A run after its events. `nodes` has the records of all nodes with facts, by path.

    `running` and `waiting` are the paths of such nodes; a map is in neither, its items' nodes are. `timers` are those
    of waiting nodes. `calls` has, by path, the child runs that nodes wait for; `has_called`: there may be others that
    no node waits for. `deadline_at` is `deadline` in Unix seconds; `size_bytes` is what the payloads of the run's facts
    take in the store, and `fact_bytes` what the last one takes.
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
    output: object = None
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
    size_bytes: int = 0
    fact_bytes: int = 0
    running: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    timers: Timers | None = field(default=None, compare=False)
    calls: dict[str, str] = field(default_factory=dict)
    has_called: bool = False
    signals: Signals = field(default_factory=Signals)
    response: JsonObject | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended."""
        return self.phase in TERMINAL

    @property
    def depth(self) -> int:
        """How many ancestors this run has: 0 for one that no other run called."""
        return self.caller["depth"] if self.caller is not None else 0

    @property
    def calls_left(self) -> int | None:
        """How many runs this one and its descendants may still call; unset for a run that no other called, and in
        facts older than this limit."""
        return self.caller.get("calls_left") if self.caller is not None else None

    @property
    def is_awaited(self) -> bool:
        """Whether the parent run waits for the end of this one."""
        return self.caller is not None and self.caller["is_awaited"]

    @property
    def awaiting_id(self) -> str | None:
        """The id of the parent run that can go on, now that this one has ended; else `None`."""
        return self.parent_id if self.is_awaited and self.is_terminal else None

    @property
    def handles_error(self) -> bool:
        """Whether this run, or one of its ancestors, is that of an error workflow."""
        is_called = self.caller is not None and self.caller["handles_error"]
        return is_called or self.trigger.get("type") == "error"

    @property
    def status(self) -> str:
        """`waiting` while nodes wait and none runs, else the phase."""
        return "waiting" if self.phase == "running" and self.waiting and not self.running else self.phase

    @property
    def wake_at(self) -> str | None:
        """When an unfinished run is due: at the first timer of a waiting run, else a lease after its last event."""
        if self.is_terminal or self.changed_at is None:
            return None
        if self.status == "waiting":
            # A run with a signal that one of its nodes takes is due at once.
            signalled = self.changed_at if self.signals.is_any_due else None
            return min(filter(None, (self.next_timer, signalled, self.deadline)))
        # A run in progress: if its drain dies, the sweep finds it after the lease.
        return timestamp(unix_seconds(self.changed_at) + LEASE_SECONDS)

    @property
    def next_timer(self) -> str | None:
        """The time of the first timer among the waiting nodes; `None` where none waits."""
        if self.timers is None:
            return None
        return self.timers.earliest(lambda path: self.nodes[path].timer if path in self.waiting else None)

    def newly_waiting(self) -> list[str]:
        """The paths of the nodes that began to wait since the last call."""
        return [] if self.timers is None else self.timers.new()

    def wait(self, path: str) -> None:
        """A node begins to wait, with the timer in its record."""
        if self.timers is None:
            from shared.domain.execution.timer_heap import Timers  # starting a run needs no timers

            self.timers = Timers()
        self.waiting.add(path)
        self.timers.add(path, self.nodes[path].timer or "")

    def node(self, node_id: str) -> NodeRecord:
        """The node's record, made on the node's first fact."""
        record = self.nodes.get(node_id)
        if record is None:
            from shared.domain.execution.node_record import NodeRecord  # queueing a run needs no nodes

            record = self.nodes[node_id] = NodeRecord()
            # A node of a map's item, which is in progress from now on.
            if "]" in node_id:
                items, index = self._item(split_path(node_id)[0])
                items.in_progress.setdefault(index, []).append(node_id)
        return record

    def is_settled(self, node_id: str) -> bool:
        """Whether the node has succeeded, failed or been skipped."""
        record = self.nodes.get(node_id)
        return record is not None and record.status in SETTLED

    def joined_output(self, sources: Sequence[str], prefix: str = "") -> object:
        """The output of one node, or of several an object by node id: their successor's `$input`.

        Without `sources` it is the map's item of the prefix, the input of a root in a map's body.
        """
        if len(sources) == 1:
            return self.nodes[prefix + sources[0]].output
        if sources:
            return {source: self.nodes[prefix + source].output for source in sources}
        return self.item(prefix) if prefix else None

    def joined_bytes(self, sources: Sequence[str], prefix: str = "") -> int:
        """About the size of `joined_output` as JSON. A value that is passed on is shared in the state, but written once
        more in each output."""
        if not sources and prefix:
            return self._item(prefix)[0].value_bytes
        return sum(self.nodes[prefix + source].output_bytes for source in sources)

    def item(self, prefix: str) -> object:
        """The map's item whose nodes have this prefix."""
        items, index = self._item(prefix)
        return items.values[index]

    def items(self, path: str) -> MapItems:
        """The items of a map that has started."""
        items = self.nodes[path].items
        assert items is not None, f"{path} is no map that has started"
        return items

    def _item(self, prefix: str) -> tuple[MapItems, int]:
        map_path, index = item_of(prefix)
        return self.items(map_path), index
