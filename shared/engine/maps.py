"""The maps of one run: which items start next, and what becomes of an item and of a map when its last item has ended.

Items are run in the run's own stream, each in a scope of its own. At most `max_concurrency` of a map's items are under
way, waiting ones included, and the next to start is always the first that has not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.domain.fates import item_outcome
from shared.domain.node_record import NodeRecord
from shared.domain.paths import item_of, item_prefix
from shared.engine.attempts import Attempts
from shared.engine.recorder import Recorder
from shared.engine.scopes import Scope
from shared.events.execution import NodeSucceeded
from shared.nodes.node_type import NodeError, Spread


@dataclass(slots=True)
class _OpenMap:
    spread: Spread
    under_way: set[int]
    following: int = field(default=0)


class Maps:
    """The maps that are being worked on."""

    def __init__(self, recorder: Recorder, attempts: Attempts) -> None:
        self._recorder, self._attempts = recorder, attempts
        self._state, self._scopes = recorder.state, attempts.scopes
        self._open: dict[str, _OpenMap] = {}

    def begun(self) -> list[Scope]:
        """The scopes of all items that had begun when the run's facts were read."""
        open_maps = [(path, record.items) for path, record in self._state.nodes.items() if record.is_open_map]
        return [
            self._scopes.at(item_prefix(path, index)) for path, items in open_maps if items for index in items.under_way
        ]

    def end_item(self, scope: Scope) -> str:
        """Records how an item ends whose nodes are all settled; the path of its map, which may go on now."""
        map_path, index = item_of(scope.prefix)
        self._recorder.record(item_outcome(scope.body.graph, self._state, scope.prefix))
        self._attempts.forget(scope)
        self._opened(map_path).under_way.discard(index)
        return map_path

    def advance(self, path: str) -> list[Scope]:
        """The items of this map that start now. When none starts and none is under way, its end is recorded."""
        record, one = self._state.nodes[path], self._opened(path)
        items = record.items
        assert items is not None, f"{path} is no map that has started"
        started: list[Scope] = []
        is_decided = one.spread.is_decided(len(items.outputs), len(items.errors))
        while not is_decided and len(one.under_way) < one.spread.max_concurrency and one.following < one.spread.total:
            index = one.following
            one.following += 1
            if index not in items.outputs and index not in items.errors and index not in one.under_way:
                one.under_way.add(index)
                started.append(self._scopes.at(item_prefix(path, index)))
        if not one.under_way:
            del self._open[path]
            self._end(path, record, one.spread.is_success(len(items.outputs), len(items.errors)))
        return started

    def _opened(self, path: str) -> _OpenMap:
        found = self._open.get(path)
        if found is None:
            record, kind = self._state.nodes[path], self._scopes.step(path).one.type
            assert record.items is not None, f"{path} is no map that has started"
            assert kind.spread is not None, f"{path} is no map"
            spread = kind.spread(kind.parse(record.parameters or {}))
            found = self._open[path] = _OpenMap(spread, set(record.items.under_way))
        return found

    def _end(self, path: str, record: NodeRecord, is_success: bool) -> None:
        evaluated_at, undefined = record.evaluated_at or 0, list(record.undefined)
        if is_success:
            self._recorder.record(NodeSucceeded(path, record.attempts, None, ["out"], evaluated_at, undefined))
        else:
            error = NodeError("items_failed", "More items failed than may, or fewer succeeded than must.")
            self._attempts.fail(self._scopes.step(path), record.attempts, error)
