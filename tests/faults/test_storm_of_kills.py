"""Drains that are killed one after another, faster than most of their effects end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.queue.job import ExecutionJob
from tests.faults.harness import FaultHarness
from tests.integration.engine.harness import HOOK, request, transform

DRAINS = 8
SECONDS_BETWEEN_KILLS = 0.5
# `--storm=long`: see CONTRIBUTING.md.
SHORT, LONG = (8.0, 2.0, 40, 0.6), (60.0, 20.0, 200, 3.0)


@asynccontextmanager
async def drains(faults: FaultHarness, lock_seconds: float, places: int) -> AsyncIterator[list[int]]:
    """The process ids of so many drains as there always are, the newest last; each has so many `places` for runs."""
    arguments = (sys.executable, "-m", "tests.faults.drain_processes", str(DRAINS))
    more = {"LOCK_SECONDS": str(lock_seconds), "LEASE_SECONDS": "10", "DRAIN_LINGER_SECONDS": "5"}
    more["DRAIN_CONCURRENCY"] = str(places)
    process = await asyncio.create_subprocess_exec(
        *arguments,
        env={**os.environ, **faults.environment, **more},
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    alive: list[int] = []

    async def note(output: asyncio.StreamReader) -> None:
        while line := await output.readline():
            alive.append(int(line))

    noting = asyncio.create_task(note(process.stdout))
    try:
        while len(alive) < DRAINS:  # noqa: ASYNC110  # another process tells
            await asyncio.sleep(0.05)
        yield alive
    finally:
        process.stdin.close()
        await process.wait()
        await noting


async def unfinished(faults: FaultHarness, jobs: list[ExecutionJob]) -> int:
    """How many of the runs have not ended."""
    ids = [job.execution_id for job in jobs]
    rows = await faults.harness.services.database.select(
        "executions", "id,finished_at", lambda query: query.in_("id", ids).limit(1000)
    )
    return len(jobs) - sum(row["finished_at"] is not None for row in rows)


@pytest.mark.slow
async def test_storm_of_kills_loses_no_run_and_blames_none(
    faults: FaultHarness, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every run ends well, none as `drain_died`; each effect that was sent had begun durably, under one key and with
    one body, however often it was sent; no node is settled twice."""
    seconds, effect_seconds, runs, lock_seconds = LONG if pytestconfig.getoption("storm") == "long" else SHORT
    faults.sink.pause_seconds = effect_seconds
    call = {"parameters": {"body": {"to": "somebody"}}, "timeout_seconds": 60}
    nodes = [HOOK, request("call", faults.sink.url, **call), transform("last", 1)]
    workflow_id = await faults.harness.publish(nodes, "hook>call", "call>last")
    jobs = [faults.harness.delivery(workflow_id, number) for number in range(runs)]
    await faults.harness.services.producer.enqueue(jobs)
    chosen, killed, began = random.Random(1), 0, time.monotonic()  # no secret
    # So few that one drain alone cannot take all of them, and survive.
    async with drains(faults, lock_seconds, runs // DRAINS) as alive:
        while time.monotonic() - began < seconds:
            await asyncio.sleep(SECONDS_BETWEEN_KILLS)
            os.kill(alive.pop(chosen.randrange(len(alive))), signal.SIGKILL)
            killed += 1
        during = runs - await unfinished(faults, jobs)
        while await unfinished(faults, jobs):
            assert time.monotonic() - began < 5 * seconds + 120, "some runs do not end"
            await asyncio.sleep(0.2)
    states = [await faults.harness.state(job) for job in jobs]
    assert [state.error for state in states if state.status != "succeeded"] == []
    started, bodies = set[str](), defaultdict(set)
    for job in jobs:
        events = await faults.harness.events(job)
        keys = [event.payload["idempotency_key"] for event in events if event.event_type == "NodeStarted"]
        assert len(set(keys)) == 1
        assert sum(event.event_type == "NodeSucceeded" and event.payload["node_id"] == "call" for event in events) == 1
        started.update(keys)
    for arrival in faults.sink.received:
        bodies[arrival.key].add(arrival.body)
    assert set(bodies) == started
    assert {len(sent) for sent in bodies.values()} == {1}
    assert len(faults.sink.received) > runs, "no effect was interrupted"
    took = time.monotonic() - began
    with capsys.disabled():
        print(
            f"\n{killed} kills in {seconds:.0f} s: {during} of {runs} runs ended meanwhile, all after {took:.0f} s; "
            f"{len(faults.sink.received)} requests for {len(started)} effects"
        )
