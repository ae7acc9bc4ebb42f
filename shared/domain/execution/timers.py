"""The timers of a run's waiting nodes, of which only the first is ever asked for."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

# The service's form of time: in it, earlier texts are earlier moments.
Timer = tuple[str, str]


class Timers:
    """Times with the paths of their nodes. A node that waits no more, or for another moment, need not be taken out."""

    __slots__ = ("_heap", "_new")

    def __init__(self) -> None:
        """None so far."""
        self._heap: list[Timer] = []
        self._new: list[str] = []

    def add(self, path: str, time: str) -> None:
        """Takes in until when a node waits."""
        heappush(self._heap, (time, path))
        self._new.append(path)

    def earliest(self, of: Callable[[str], str | None]) -> str | None:
        """The first that still holds; `of` gives the time until which the node at a path waits now."""
        while self._heap:
            time, path = self._heap[0]
            if of(path) == time:
                return time
            heappop(self._heap)
        return None

    def new(self) -> list[str]:
        """The paths of the nodes that have begun to wait since this was last asked."""
        paths, self._new = self._new, []
        return paths
