"""Which nodes of a run are ready, now that others have been settled.

It decides from the run's state alone, and records what follows without any work: nodes that are skipped, items and maps
that have ended. Items are run in the run's own stream, each in a scope of its own. At most `max_concurrency` of a map's
items are under way, waiting ones included, and the next to start is always the first that has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.execution.map_items import MapItems
from shared.domain.execution.node_paths import item_of, item_prefix
from shared.domain.execution.node_readiness import decide, item_outcome
from shared.domain.execution.state import SETTLED, ExecutionState
from shared.engine.run.scopes import Scope, Scopes
from shared.events.node import NodeSkipped
from shared.nodes.node_kinds import Map, MapPlan

if TYPE_CHECKING:
    from shared.events.facts import ExecutionFact


@dataclass(slots=True)
class _OpenMap:
    """A map whose items are being run. `following` is the first index that has not been looked at yet."""

    plan: MapPlan
    items: MapItems
    under_way: set[int]
    following: int = 0

    def next_items(self) -> list[int]:
        """The items that start now, added to `under_way`."""
        started: list[int] = []
        if self.plan.is_decided(len(self.items.outputs), len(self.items.errors)):
            return started
        while self.following < self.plan.total and len(self.under_way) < self.plan.max_concurrency:
            index, self.following = self.following, self.following + 1
            # After a restart of the drain, items from here on may have ended or be under way.
            if index not in self.items.outputs and index not in self.items.errors and index not in self.under_way:
                self.under_way.add(index)
                started.append(index)
        return started

    def is_success(self) -> bool:
        """Whether the map has succeeded, now that no item is under way."""
        return self.plan.is_success(len(self.items.outputs), len(self.items.errors))


class ReadyNodes:
    """The ready nodes of one run. The scheduler names each node that has settled, waits, or has opened a map."""

    def __init__(
        self,
        state: ExecutionState,
        scopes: Scopes,
        record: Callable[[ExecutionFact], None],
        end_map: Callable[[str, bool], None],
    ) -> None:
        """`record` applies a fact to the state; `end_map` records that the map at a path succeeded or failed."""
        self._state, self._scopes, self._record, self._end_map = state, scopes, record, end_map
        self._maps: dict[str, _OpenMap] = {}

    def begun(self) -> list[str]:
        """The nodes that are ready after the facts so far and have not begun: where a drain takes the run up."""
        # An ordered set: a node may be found more than once, and a run starts its nodes in a defined order.
        ready: dict[str, None] = {}
        maps = [(path, record.items) for path, record in self._state.nodes.items() if record.items is not None]
        # Inner maps first, so that a map is advanced after its items.
        followed = [path for path, _ in reversed(maps)]
        self._decide(self._scopes.root, None, ready, followed)
        for path, items in maps:
            for index in list(items.in_progress):
                self._decide(self._scopes.at(item_prefix(path, index)), None, ready, followed)
        return self._follow(followed, ready)

    def following(self, changed: Iterable[str]) -> list[str]:
        """The nodes that have become ready because those at `changed` settled, wait, or opened a map."""
        return self._follow(list(changed), {})

    def _follow(self, followed: list[str], ready: dict[str, None]) -> list[str]:
        # `followed` grows on the way: a skipped node decides its successors, an item that has ended advances its map.
        for path in followed:
            record = self._state.nodes.get(path)
            if record is None:
                continue  # the last node of an item that has ended: the state has forgotten the item's nodes
            if record.is_open_map:
                self._advance(path, ready, followed)
            if record.status in SETTLED:
                step = self._scopes.step(path)
                self._decide(step.scope, (step.compiled.node.id,), ready, followed)
        return list(ready)

    def _decide(self, scope: Scope, settled: Iterable[str] | None, ready: dict[str, None], followed: list[str]) -> None:
        """Adds the nodes of this scope that are ready to `ready`, and those whose successors come next to `followed`.

        `settled` are the ids whose successors are decided; `None` decides all nodes.
        """
        graph, prefix = scope.body.graph, scope.prefix
        decided = decide(graph, self._state, settled, prefix)
        for node_id, fate in decided:
            if fate == "ready":
                ready[prefix + node_id] = None
            else:
                self._record(NodeSkipped(prefix + node_id))
                followed.append(prefix + node_id)
        # Nothing is left to decide in this item, and all of it is settled: it ends, and makes room for the next.
        if not decided and prefix and all(self._state.is_settled(prefix + node_id) for node_id in graph.nodes):
            map_path, index = item_of(prefix)
            self._record(item_outcome(graph, self._state, prefix))
            self._scopes.drop(prefix)
            self._open(map_path).under_way.discard(index)
            followed.append(map_path)

    def _advance(self, path: str, ready: dict[str, None], followed: list[str]) -> None:
        """Starts items as `max_concurrency` allows; when none is under way, the map ends."""
        open_map = self._open(path)
        for index in open_map.next_items():
            self._decide(self._scopes.at(item_prefix(path, index)), None, ready, followed)
        if not open_map.under_way:
            del self._maps[path]
            self._end_map(path, open_map.is_success())

    def _open(self, path: str) -> _OpenMap:
        open_map = self._maps.get(path)
        if open_map is None:
            record, type_ = self._state.nodes[path], self._scopes.step(path).compiled.type
            assert record.items is not None, f"{path} is no map that has started"
            assert isinstance(type_.kind, Map), f"{path} is no map"
            # From the recorded parameters, so that a drain which takes the run over has the same plan.
            plan = type_.kind.plan(type_.parse(record.parameters or {}))
            open_map = self._maps[path] = _OpenMap(plan, record.items, set(record.items.in_progress))
        return open_map
