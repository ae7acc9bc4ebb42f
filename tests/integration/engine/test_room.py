"""Runs that wait until there is room for what they hold: nobody else waits for them."""

from __future__ import annotations

import asyncio

from shared.engine.memory import LARGE_BYTES, Memory
from shared.ids import new_id
from tests.integration.engine.bench import HOOK, Bench, request, transform
from tests.integration.engine.sink import Sink

# A few hundred kilobytes of text, some megabytes in a process.
LISTS = [[[], [], []]] * 45_000


async def test_runs_that_wait_for_room_keep_no_places(bench: Bench, sink: Sink) -> None:
    """A tenant's large run waits for a slow server, and so many of its other large ones for that one as a drain has
    places: another tenant's run does not."""
    sink.pause_seconds = 6.0
    slow = await bench.publish([HOOK, request("send", sink.url)], "hook>send")
    engine = bench.new_engine(memory=Memory(LARGE_BYTES))
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
