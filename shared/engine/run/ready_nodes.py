"""Which nodes of a run are ready, now that others have been settled.

It decides from the run's state alone, and records what follows without any work: nodes that are skipped, items and maps
that have ended. Items are run in the run's own stream, each in a scope of its own. At most `max_concurrency` of a map's
items are under way, waiting ones included, and the next to start is always the first that has not (`map_items`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from shared.domain.execution.node_paths import item_prefix
from shared.domain.execution.node_readiness import decide
from shared.domain.execution.state import SETTLED, ExecutionState
from shared.engine.run.map_items import OpenMaps
from shared.engine.run.scopes import Scope, Scopes
from shared.events.node import NodeSkipped

if TYPE_CHECKING:
    from shared.events.facts import ExecutionFact


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
            followed.append(self._maps.settle_item(scope))

    def _advance(self, path: str, ready: dict[str, None], followed: list[str]) -> None:
        """Starts items as `max_concurrency` allows; when none is under way, the map ends."""
        for index in self._maps.next_items(path):
            self._decide(self._scopes.at(item_prefix(path, index)), None, ready, followed)
        is_success = self._maps.close(path)
        if is_success is not None:
            self._end_map(path, is_success)

    @cached_property
    def _maps(self) -> OpenMaps:
        return OpenMaps(self._state, self._scopes, self._record)
