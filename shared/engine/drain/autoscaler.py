"""Whether a further drain would help: asked once a second, answered from what this drain measures of itself.

A backlog alone says little. When Postgres is the bottleneck, more drains make each of them slower and the backlog
longer, so a rule that looks at the backlog starts the more of them the worse it gets.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

# What is measured is measured over this long, and at first over no less than this.
WINDOW_SECONDS = 4.0
MIN_WINDOW_SECONDS = 2.0
# A drain with a place free can take more itself.
FULL = 0.9
# A backlog that is done within this is gone before a further drain has started.
PATIENCE_SECONDS = 5.0
# How long it takes until a further drain shows in what is measured: its cold start, and a window after that.
SETTLE_SECONDS = 8.0
# By so much at least a further drain has made all of them faster together, if it was worth its start ...
WORTHWHILE = 1.1
# ... and for so long none is asked for where it was not.
REST_SECONDS = 60.0


class Sample(NamedTuple):
    """One second's: `at` in seconds of a clock that only goes forward, `finished` jobs and how often something was
    `unavailable` since this drain began, the share of its places in use, and of all, jobs `waiting`, drains `live`."""

    at: float
    finished: int
    unavailable: int
    slots_used: float
    waiting: int
    live: int


class ScalingPolicy:
    """One drain's."""

    def __init__(self, concurrency: int) -> None:
        """`concurrency` is how many jobs a drain has at work at a time."""
        self._concurrency = concurrency
        self._looks: deque[Sample] = deque()
        self._asked: tuple[Sample, float] | None = None

    def is_due(self, look: Sample) -> bool:
        """Whether another drain is to be started now; the answer yes is remembered as done."""
        first = self._since(look)
        seconds = look.at - first.at
        if seconds < MIN_WINDOW_SECONDS or look.slots_used < FULL or look.unavailable > first.unavailable:
            return False
        # All drains draw from one queue, so they are about equally fast.
        per_second = (look.finished - first.finished) / seconds * max(1, look.live)
        if look.waiting <= max(self._concurrency, per_second * PATIENCE_SECONDS):
            return False
        if not self._may_ask(look, per_second):
            return False
        self._asked = look, per_second
        return True

    def _since(self, look: Sample) -> Sample:
        """The look at the beginning of the window that ends with this one."""
        self._looks.append(look)
        while look.at - self._looks[0].at > WINDOW_SECONDS:  # a window's ends
            self._looks.popleft()
        return self._looks[0]

    def _may_ask(self, look: Sample, per_second: float) -> bool:
        if self._asked is None:
            return True
        before, per_second_before = self._asked
        seconds = look.at - before.at
        if seconds < SETTLE_SECONDS:
            return False
        has_come = look.live > before.live
        return not has_come or per_second >= per_second_before * WORTHWHILE or seconds >= REST_SECONDS
