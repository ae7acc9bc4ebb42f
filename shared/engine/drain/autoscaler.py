"""Starts another drain when that would help: asked once a second, answered from what this drain measures of itself.

The length of the backlog alone is no reason. When Postgres is the bottleneck, more drains make each of them slower and
the backlog longer, so a rule that looks at the backlog starts the more drains the worse it gets.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from shared.engine.drain.background_tasks import run_periodically
from shared.engine.drain.worker import Progress
from shared.queue.consumer import JobConsumer
from shared.queue.live_drains import LiveDrains
from shared.queue.wake import wake_drain
from shared.settings import Settings

SAMPLE_SECONDS = 1.0
# Rates are measured over this long, and at first over no less than the minimum.
WINDOW_SECONDS = 4.0
MIN_WINDOW_SECONDS = 2.0
# A drain with a free slot can take more itself.
FULL = 0.9
# A backlog that is done within this is gone before another drain has started.
PATIENCE_SECONDS = 5.0
# How long it takes until another drain shows in the measurements: its cold start, and a window after that.
SETTLE_SECONDS = 8.0
# Another drain was worth its start if all of them together have become faster by this factor ...
WORTHWHILE = 1.1
# ... and where it was not, no further one is started for this long.
REST_SECONDS = 60.0


class Sample(NamedTuple):
    """One measurement: `at` in seconds of a monotonic clock, `finished` jobs and how often a dependency was
    `unavailable` since this drain began, the share of its slots in use, and of all drains, jobs `waiting` and how many
    are `live`."""

    at: float
    finished: int
    unavailable: int
    slots_used: float
    waiting: int
    live: int


class Autoscaler:
    """One drain's."""

    def __init__(
        self, consumer: JobConsumer, live_drains: LiveDrains, settings: Settings, progress: Callable[[], Progress]
    ) -> None:
        """`progress` measures the drain now."""
        self._consumer, self._live_drains = consumer, live_drains
        self._max_drains, self._progress = settings.max_drains, progress
        self._policy = ScalingPolicy(settings.drain_concurrency)

    async def run_forever(self) -> None:
        """Starts another drain whenever that would help, until it is cancelled."""
        await run_periodically("pace", self._scale)

    async def _scale(self) -> float:
        waiting, live = (await self._consumer.counts())["wait"], await self._live_drains.count()
        sample = Sample(time.monotonic(), *self._progress(), waiting, live)
        if live < self._max_drains and self._policy.is_due(sample):
            await wake_drain(self._live_drains)
        return SAMPLE_SECONDS


class ScalingPolicy:
    """Decides from one drain's samples whether another is to be started."""

    def __init__(self, concurrency: int) -> None:
        """`concurrency` is how many jobs a drain works on at a time."""
        self._concurrency = concurrency
        self._window: deque[Sample] = deque()
        # At the last start: the sample, and how many jobs a second all drains finished then.
        self._last_start: tuple[Sample, float] | None = None

    def is_due(self, sample: Sample) -> bool:
        """Whether another drain is to be started now; the answer yes is remembered as a start."""
        first = self._window_start(sample)
        seconds = sample.at - first.at
        if seconds < MIN_WINDOW_SECONDS or sample.slots_used < FULL or sample.unavailable > first.unavailable:
            return False
        # All drains claim from one queue, so they are about equally fast.
        per_second = (sample.finished - first.finished) / seconds * max(1, sample.live)
        if sample.waiting <= max(self._concurrency, per_second * PATIENCE_SECONDS):
            return False
        if not self._was_last_start_worthwhile(sample, per_second):
            return False
        self._last_start = sample, per_second
        return True

    def _window_start(self, sample: Sample) -> Sample:
        """The first sample of the window that ends with this one."""
        self._window.append(sample)
        while sample.at - self._window[0].at > WINDOW_SECONDS:
            self._window.popleft()
        return self._window[0]

    def _was_last_start_worthwhile(self, sample: Sample, per_second: float) -> bool:
        """Whether the last start has made the drains faster together, failed to bring a drain, or is long ago."""
        if self._last_start is None:
            return True
        before, per_second_before = self._last_start
        seconds = sample.at - before.at
        if seconds < SETTLE_SECONDS:
            return False
        has_come = sample.live > before.live
        return not has_come or per_second >= per_second_before * WORTHWHILE or seconds >= REST_SECONDS
