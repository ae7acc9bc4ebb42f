"""`python -m tests.bench.intake`: a steady load on intake while the drain works; what was lost, and how long it took.

Deliveries leave at their times, whatever the answers do. The exit code is 1 when one was not answered with 202,
a run was lost, or the 99th percentile is above five times the median.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from tests.bench.__main__ import Bench, bench_stack, push_body
from tests.bench.load import send_at_rate

MAX_RATIO = 5.0


def main() -> int:
    """0 when all was accepted in time and executed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.intake", description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="deliveries a second")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, bench_stack(Path(folder)) as stack:
        bench = Bench(stack, 8, push_body(False))
        bench.engine(200)  # warm
        done = bench._finished()
        requests = [bench.delivery() for _ in range(options.rate * options.seconds)]
        busy, started = sum(bench._cpu().values()), time.monotonic()
        answers, lateness = asyncio.run(send_at_rate(stack.port, requests, options.rate))
        busy = (sum(bench._cpu().values()) - busy) / (time.monotonic() - started)
        accepted = {json.loads(answer.body)["execution_id"] for answer in answers if answer.status == 202}
        deadline = time.monotonic() + 60
        while (finished := bench._finished() - done) < len(requests) and time.monotonic() < deadline:
            time.sleep(0.1)
    times = sorted(answer.seconds * 1000 for answer in answers)
    median, late = times[len(times) // 2], times[len(times) * 99 // 100]
    lost = len(requests) - finished
    print(f"{len(answers)} answered, {len(accepted)} accepted, {finished} runs finished, {lost} lost")
    print(f"p50 {median:.1f} ms, p99 {late:.1f} ms ({late / median:.1f} times), slowest {times[-1]:.1f} ms")
    print(f"{busy:.2f} of {os.cpu_count()} processors busy; no delivery left later than {lateness * 1000:.0f} ms")
    whole = len(accepted) == len(requests) and lost == 0
    return 0 if whole and late <= MAX_RATIO * median else 1


if __name__ == "__main__":
    raise SystemExit(main())
