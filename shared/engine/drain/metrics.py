"""Tells in metrics what a drain does, once a minute and at its end: nothing is written while a run is under way."""

from __future__ import annotations

import time
from dataclasses import asdict

from shared.engine.drain.background_tasks import run_periodically
from shared.engine.drain.loop import Drain
from shared.observability import count, flush, mean

LOOK_SECONDS = 0.25
LINE_SECONDS = 60.0
# The metric of each count in a drain's summary.
_METRICS = {
    "completed": "JobsCompleted",
    "delayed": "JobsDelayed",
    "failed": "JobsFailed",
    "swept": "RunsSwept",
    "handed_back": "JobsHandedBack",
}


class DrainMeter:
    """One invocation's."""

    def __init__(self, work: Drain) -> None:
        """`work` has not begun yet."""
        self._work = work
        self._told = asdict(work.summary)
        self._since, self._cpu_since = time.monotonic(), time.process_time()
        self._began = self._since

    async def run_forever(self) -> None:
        """Looks and tells until it is cancelled."""
        await run_periodically("meter", self._look)

    async def _look(self) -> float:
        mean("DrainPlacesPercent", 100 * self._work.slots_used)
        if time.monotonic() - self._since >= LINE_SECONDS:
            self._tell()
        return LOOK_SECONDS

    def finish(self) -> None:
        """Tells the rest, and how long the drain lived."""
        count("DrainSeconds", time.monotonic() - self._began)
        self._tell()

    def _tell(self) -> None:
        summary = asdict(self._work.summary)
        for name, metric in _METRICS.items():
            count(metric, summary[name] - self._told[name])
        now, cpu = time.monotonic(), time.process_time()
        mean("DrainCpuPercent", 100 * (cpu - self._cpu_since) / max(now - self._since, 1e-9))
        self._told, self._since, self._cpu_since = summary, now, cpu
        flush(service="drain")
