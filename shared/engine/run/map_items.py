"""The items of a run's open maps: which start next, how one is settled when its nodes are, and when the map is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.execution.map_record import MapItems
from shared.domain.execution.node_paths import item_of
from shared.domain.execution.node_readiness import item_outcome
from shared.domain.execution.state import ExecutionState
from shared.engine.run.scopes import Scope, Scopes
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


class OpenMaps:
    """The maps of one run whose items are being run, by their paths."""

    def __init__(self, state: ExecutionState, scopes: Scopes, record: Callable[[ExecutionFact], None]) -> None:
        """`record` applies a fact to the state."""
        self._state, self._scopes, self._record = state, scopes, record
        self._maps: dict[str, _OpenMap] = {}

    def settle_item(self, scope: Scope) -> str:
        """Records the outcome of an item whose nodes are all settled, and makes room for the next. The path of its
        map."""
        map_path, index = item_of(scope.prefix)
        self._record(item_outcome(scope.body.graph, self._state, scope.prefix))
        self._scopes.drop(scope.prefix)
        self._open(map_path).under_way.discard(index)
        return map_path

    def next_items(self, path: str) -> list[int]:
        """The indexes of the items that start now, as `max_concurrency` allows."""
        return self._open(path).next_items()

    def close(self, path: str) -> bool | None:
        """Whether the map has succeeded, and is forgotten here; `None` while any of its items is under way."""
        open_map = self._open(path)
        if open_map.under_way:
            return None
        del self._maps[path]
        return open_map.is_success()

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
