"""The timers of a run's waiting nodes: a heap, of which only the first is read."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

# (timestamp, path): in the service's form, timestamps sort as texts.
Timer = tuple[str, str]


class Timers:
    """Timestamps with the paths of their nodes. Stale entries may stay in: `earliest` drops them."""

    __slots__ = ("_heap", "_new")

    def __init__(self) -> None:
        """No timers."""
        self._heap: list[Timer] = []
        self._new: list[str] = []

    def add(self, path: str, time: str) -> None:
        """A node waits until `time`."""
        heappush(self._heap, (time, path))
        self._new.append(path)

    def earliest(self, of: Callable[[str], str | None]) -> str | None:
        """The first valid timestamp; `of` returns the present timer of the node at a path."""
        while self._heap:
            time, path = self._heap[0]
            if of(path) == time:
                return time
            heappop(self._heap)
        return None

    def new(self) -> list[str]:
        """The paths of the nodes that began to wait since the last call."""
        paths, self._new = self._new, []
        return paths
