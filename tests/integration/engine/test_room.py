"""Runs that wait for others of their tenant's: nobody else waits for them."""

from __future__ import annotations

import asyncio

from shared.engine.run.memory_limiter import LARGE_BYTES, MemoryLimiter
from shared.ids import new_id
from tests.integration.engine.harness import HOOK, Bench, request, transform
from tests.integration.engine.sink import Sink

# A few hundred kilobytes of text, some megabytes in a process.
LISTS = [[[], [], []]] * 45_000
# Half a second; where it takes more than one, it fails.
LONG = "{% ($s := $pad('', 1000000, 'ab'); $count([1..100].$length($replace($s, 'a', 'c')))) %}"


async def test_runs_that_wait_for_room_keep_no_places(bench: Bench, sink: Sink) -> None:
    """A tenant's large run waits for a slow server, and so many of its other large ones for that one as a drain has
    places: another tenant's run does not."""
    sink.pause_seconds = 6.0
    slow = await bench.publish([HOOK, request("send", sink.url)], "hook>send")
    engine = bench.new_engine(memory=MemoryLimiter(LARGE_BYTES))
    await bench.services.queue.enqueue([bench.delivery(slow, LISTS)])
    drained = asyncio.create_task(bench.drain(engine=engine))
    await sink.received_at_least(1)
    large = [bench.delivery(slow, LISTS) for _ in range(bench.services.settings.drain_concurrency + 4)]
    await bench.services.queue.enqueue(large)
    other = Bench(bench.services, bench.guard, new_id())
    job = other.delivery(await other.publish([HOOK, transform("one", 1)], "hook>one"))
    await other.services.queue.enqueue([job])
    while len(sink.received) == 1 and not await other.events(job):  # noqa: ASYNC110  # the store tells nobody
        await asyncio.sleep(0.05)
    sink.pause_seconds = 0.0
    assert len(sink.received) == 1
    assert (await other.state(job)).status == "succeeded"
    await drained
    assert len(sink.received) == 1 + len(large)


async def test_runs_that_wait_for_slow_expressions_keep_no_places(bench: Bench) -> None:
    """They are evaluated one after the other, and there are more of them than a drain has places: another tenant's run
    does not wait for as many of them as have no place at first."""
    bench.services.settings = bench.services.settings._replace(drain_concurrency=4)
    slow = await bench.publish([HOOK, transform("slow", LONG)], "hook>slow")
    jobs = [bench.delivery(slow) for _ in range(9)]
    await bench.services.queue.enqueue(jobs)
    other = Bench(bench.services, bench.guard, new_id())
    job = other.delivery(await other.publish([HOOK, transform("one", 1)], "hook>one"))
    await other.services.queue.enqueue([job])
    drained = asyncio.create_task(bench.drain(60))
    while not await other.events(job):  # noqa: ASYNC110  # the store tells nobody
        await asyncio.sleep(0.05)
    assert len([job for job in jobs if await bench.events(job)]) < 5
    await drained
    assert all([(await bench.state(job)).is_terminal for job in jobs])
