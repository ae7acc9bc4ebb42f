"""Things that are kept while they are used, as many as fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Values by key with a weight each; those that were not used for longest make room for new ones.

    The newest value is kept whatever it weighs. What was put here a moment ago may be gone: hold on to what you need.
    """

    def __init__(self, most: int) -> None:
        """`most` is what the kept values may weigh together."""
        self._most, self._weight = most, 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, which counts as used now; `None` where there is none."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 1) -> list[V]:
        """The values that made room for this one."""
        dropped = []
        if key in self._kept:
            dropped.append(self._without(key))
        self._kept[key] = value, weight
        self._weight += weight
        while self._weight > self._most and len(self._kept) > 1:
            dropped.append(self._without(next(iter(self._kept))))
        return dropped

    def take(self, key: K) -> V | None:
        """The value, which is kept here no longer; `None` where there is none."""
        return self._without(key) if key in self._kept else None

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._kept)

    def _without(self, key: K) -> V:
        value, weight = self._kept.pop(key)
        self._weight -= weight
        return value
