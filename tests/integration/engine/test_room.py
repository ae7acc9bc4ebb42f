"""Runs that wait for others of their tenant's: nobody else waits for them."""

from __future__ import annotations

import asyncio

from shared.engine.run.memory_limiter import LARGE_BYTES, MemoryLimiter
from shared.ids import new_id
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.sink import Sink

# A few hundred kilobytes of text, some megabytes in a process.
LISTS = [[[], [], []]] * 45_000
# Half a second; where it takes more than one, it fails.
LONG = "{% ($s := $pad('', 1000000, 'ab'); $count([1..100].$length($replace($s, 'a', 'c')))) %}"


async def test_runs_that_wait_for_room_keep_no_places(harness: EngineHarness, sink: Sink) -> None:
    """A tenant's large run waits for a slow server, and so many of its other large ones for that one as a drain has
    places: another tenant's run does not."""
    sink.pause_seconds = 6.0
    slow = await harness.publish([HOOK, request("send", sink.url)], "hook>send")
    engine = harness.new_engine(memory=MemoryLimiter(LARGE_BYTES))
    await harness.services.producer.enqueue([harness.delivery(slow, LISTS)])
    drained = asyncio.create_task(harness.drain(engine=engine))
    await sink.received_at_least(1)
    large = [harness.delivery(slow, LISTS) for _ in range(harness.services.settings.drain_concurrency + 4)]
    await harness.services.producer.enqueue(large)
    other = EngineHarness(harness.services, harness.guard, new_id())
    job = other.delivery(await other.publish([HOOK, transform("one", 1)], "hook>one"))
    await other.services.producer.enqueue([job])
    while len(sink.received) == 1 and not await other.events(job):  # noqa: ASYNC110  # the store tells nobody
        await asyncio.sleep(0.05)
    sink.pause_seconds = 0.0
    assert len(sink.received) == 1
    assert (await other.state(job)).status == "succeeded"
    await drained
    assert len(sink.received) == 1 + len(large)


async def test_runs_that_wait_for_slow_expressions_keep_no_places(harness: EngineHarness) -> None:
    """They are evaluated one after the other, and there are more of them than a drain has places: another tenant's run
    does not wait for as many of them as have no place at first."""
    harness.services.settings = harness.services.settings._replace(drain_concurrency=4)
    slow = await harness.publish([HOOK, transform("slow", LONG)], "hook>slow")
    jobs = [harness.delivery(slow) for _ in range(9)]
    await harness.services.producer.enqueue(jobs)
    other = EngineHarness(harness.services, harness.guard, new_id())
    job = other.delivery(await other.publish([HOOK, transform("one", 1)], "hook>one"))
    await other.services.producer.enqueue([job])
    drained = asyncio.create_task(harness.drain(60))
    while not await other.events(job):  # noqa: ASYNC110  # the store tells nobody
        await asyncio.sleep(0.05)
    assert len([job for job in jobs if await harness.events(job)]) < 5
    await drained
    assert all([(await harness.state(job)).is_terminal for job in jobs])
