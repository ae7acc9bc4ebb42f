"""A cache of values with weights, from which the least recently used are evicted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Values by key, with a weight each; the least recently used are evicted to make room for new ones.

    The newest value is kept whatever it weighs. Any other may be evicted by the next `put`: callers hold on to the
    values that they still need.
    """

    def __init__(self, most: int) -> None:
        """`most` is the total weight that is kept."""
        self._most, self._weight = most, 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, which counts as used now; `None` where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> list[V]:
        """The values that were evicted or replaced."""
        dropped = []
        if key in self._entries:
            dropped.append(self._remove(key))
        self._entries[key] = value, weight
        self._weight += weight
        while self._weight > self._most and len(self._entries) > 1:
            dropped.append(self._remove(next(iter(self._entries))))
        return dropped

    def take(self, key: K) -> V | None:
        """The value, which is removed; `None` where there is none."""
        return self._remove(key) if key in self._entries else None

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._entries)

    def _remove(self, key: K) -> V:
        value, weight = self._entries.pop(key)
        self._weight -= weight
        return value
