"""The scopes of one run: nodes run in the workflow's own graph, or within an item of one of its maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.domain.execution.node_paths import item_of, split_path
from shared.engine.expressions.requests import RunData
from shared.engine.run.compiled_graph import CompiledGraph, CompiledNode


@dataclass(slots=True)
class Scope:
    """One graph being run: the workflow's own, or a map's for one item, then with the scope of the map as `outer`.

    `data` tracks which of its values the expressions' process has; `steps` are the nodes asked for so far, by id.
    """

    body: CompiledGraph
    prefix: str = ""
    outer: Scope | None = None
    data: RunData = field(default_factory=RunData)
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(slots=True)
class Step:
    """One node in its scope. `path` is its id in facts and in the run's state."""

    path: str
    compiled: CompiledNode
    scope: Scope


class Scopes:
    """The scopes of one run: its own, and one for each item under way, made on first use."""

    def __init__(self, body: CompiledGraph, dropped: Callable[[Scope], None] = lambda _scope: None) -> None:
        """`dropped` is called with each scope that is forgotten."""
        self.root = Scope(body)
        self._dropped = dropped
        self._items: dict[str, Scope] = {}

    def step(self, path: str) -> Step:
        """The node at a path."""
        scope, node_id = self.root, path
        if "]" in path:  # within an item; most nodes are not, and this is a hot path
            prefix, node_id = split_path(path)
            scope = self.at(prefix)
        step = scope.steps.get(node_id)
        if step is None:
            step = scope.steps[node_id] = Step(path, scope.body.nodes[node_id], scope)
        return step

    def at(self, prefix: str) -> Scope:
        """The scope whose nodes have this prefix; one that names no map's item raises `KeyError` or `ValueError`."""
        if not prefix:
            return self.root
        scope = self._items.get(prefix)
        if scope is None:
            around = self.step(item_of(prefix)[0])
            assert around.compiled.body is not None, f"{around.path} is no map"
            scope = self._items[prefix] = Scope(around.compiled.body, prefix, around.scope)
        return scope

    def timeout_seconds(self, path: str) -> float:
        """How long an attempt of the node at a path may take."""
        return self.step(path).compiled.timeout_seconds

    def drop(self, prefix: str) -> None:
        """Forgets the scope of an item that has ended."""
        self._forget(self._items.pop(prefix))

    def close(self) -> None:
        """Forgets every scope, so that the run can be freed."""
        for scope in (self.root, *self._items.values()):
            self._forget(scope)
        self._items.clear()

    def _forget(self, scope: Scope) -> None:
        self._dropped(scope)
        # Steps name their scope: in a cycle, what they hold would stay until Python looks for garbage.
        scope.steps.clear()
