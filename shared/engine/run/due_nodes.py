"""Which waiting nodes of a run are to be looked at: each is named when something has become of its wait, and not asked
after with every step of the others."""

from __future__ import annotations

from collections.abc import Container, Iterable
from heapq import heappop, heappush

from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import unix_seconds
from shared.engine.run.child_runs import RunCalls
from shared.engine.run.node_runner import LONGEST_WAIT_SECONDS


class DueNodes:
    """Of one run, while it is driven."""

    def __init__(self, state: ExecutionState, calls: RunCalls, busy: Container[str]) -> None:
        """`busy` are the paths of nodes that are being worked on: they need not be looked at."""
        self._state, self._calls, self._busy = state, calls, busy
        state.newly_waiting()
        self._timers: list[tuple[float, str, str]] = []
        self._news: set[str] = set()
        self.offer(state.waiting)

    def offer(self, paths: Iterable[str]) -> None:
        """Takes in that nobody works on these nodes any more: those that wait are to be looked at when they are due."""
        for path in paths:
            if path in self._state.waiting:
                self._add(path)
                if self._state.signals.is_due(path) or self._calls.has_ended(path):
                    self._news.add(path)

    def paths(self, now: float) -> list[str]:
        """The nodes whose timer is due, or nearly, whose signal is there, or whose called run has ended."""
        if not self._state.waiting:
            return []
        found = self._news
        self._news = set()
        found.update(self._state.signals.newly_due(), self._calls.newly_ended())
        self._take_new()
        while self._timers and self._timers[0][0] <= now + LONGEST_WAIT_SECONDS:
            _, path, text = heappop(self._timers)
            if self._is_set(path, text):
                found.add(path)
        return sorted(path for path in found if path in self._state.waiting and path not in self._busy)

    def seconds_to_next(self, now: float) -> float | None:
        """How long until a node that nobody works on is due by its timer; `None` where there is none such."""
        self._take_new()
        while self._timers:
            seconds, path, text = self._timers[0]
            if self._is_set(path, text) and path not in self._busy:
                return max(0.0, seconds - LONGEST_WAIT_SECONDS - now)
            heappop(self._timers)
        return None

    def _take_new(self) -> None:
        for path in self._state.newly_waiting():
            if path in self._state.waiting:
                self._add(path)

    def _add(self, path: str) -> None:
        text = self._state.nodes[path].timer or ""
        heappush(self._timers, (unix_seconds(text), path, text))

    def _is_set(self, path: str, text: str) -> bool:
        return path in self._state.waiting and self._state.nodes[path].timer == text
