"""The drain's metrics, written once a minute and at its end, so that no run waits for a log line."""

from __future__ import annotations

import time
from dataclasses import asdict

from shared.engine.drain.background_tasks import run_periodically
from shared.engine.drain.loop import Drain
from shared.observability import count, flush, mean

SAMPLE_SECONDS = 0.25
WRITE_SECONDS = 60.0
# The metric of each count in a drain's summary.
_METRICS = {
    "completed": "JobsCompleted",
    "delayed": "JobsDelayed",
    "failed": "JobsFailed",
    "swept": "RunsSwept",
    "handed_back": "JobsHandedBack",
}


class DrainMeter:
    """One invocation's metrics."""

    def __init__(self, drain: Drain) -> None:
        """`drain` has not begun yet."""
        self._drain = drain
        # The summary, the time and the processor time as they were last written: metrics are differences.
        self._written = asdict(drain.summary)
        self._since, self._cpu_since = time.monotonic(), time.process_time()
        self._began = self._since

    async def run_forever(self) -> None:
        """Samples and writes until it is cancelled."""
        await run_periodically("meter", self._sample)

    async def _sample(self) -> float:
        mean("DrainPlacesPercent", 100 * self._drain.slots_used)
        if time.monotonic() - self._since >= WRITE_SECONDS:
            self._write()
        return SAMPLE_SECONDS

    def finish(self) -> None:
        """Writes the rest, and how many seconds the drain lived."""
        count("DrainSeconds", time.monotonic() - self._began)
        self._write()

    def _write(self) -> None:
        summary = asdict(self._drain.summary)
        for name, metric in _METRICS.items():
            count(metric, summary[name] - self._written[name])
        now, cpu = time.monotonic(), time.process_time()
        mean("DrainCpuPercent", 100 * (cpu - self._cpu_since) / max(now - self._since, 1e-9))
        self._written, self._since, self._cpu_since = summary, now, cpu
        flush(service="drain")
