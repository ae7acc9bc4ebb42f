"""What the runs of a drain hold together: large ones wait for one another, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from shared.engine.run.memory_limiter import FLOOD, LARGE_BYTES, MemoryLimiter, MemoryShare
from shared.queue.job import ExecutionJob
from shared.repositories.payload import counted_text
from tests.integration.engine.harness import HOOK, EngineHarness, delay, transform

MEGABYTE = "{% $join($map([1..1000], function($n) { '" + "x" * 1_000 + "' })) %}"
MANY = 6 * 1_048_576


class Watched(MemoryLimiter):
    """It knows the most that was ever held, and tells when it was too much."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.peak, self.is_full = 0, asyncio.Event()
        self._waits = asyncio.Semaphore(0)

    def hold(self, share: MemoryShare, size_bytes: int) -> None:
        super().hold(share, size_bytes)
        self.peak = max(self.peak, self.held_bytes)
        if self.held_bytes > MANY:
            self.is_full.set()

    async def released(self) -> None:
        self._waits.release()
        await super().released()

    async def all_wait(self, count: int) -> None:
        """Returns when so many have begun to wait."""
        for _ in range(count):
            await self._waits.acquire()


async def large_runs(harness: EngineHarness, count: int, *last: dict[str, object]) -> list[ExecutionJob]:
    """Jobs of runs of eight megabytes each; `last` are nodes at their ends."""
    nodes = [HOOK, *(transform(f"n{number}", MEGABYTE) for number in range(8)), *last]
    edges = [f"{one['id']}>{other['id']}" for one, other in pairwise(nodes)]
    workflow_id = await harness.publish(nodes, *edges)
    return [harness.delivery(workflow_id) for _ in range(count)]


async def test_large_runs_wait_for_one_another(harness: EngineHarness) -> None:
    """Four of eight megabytes never hold thirty-two together; all come to their ends."""
    memory = Watched(MANY)
    engine = harness.new_engine(memory=memory)
    jobs = await large_runs(harness, 4, transform("last", 1))
    await asyncio.gather(*map(engine.execute, jobs))
    assert {(await harness.state(job)).status for job in jobs} == {"succeeded"}
    # The first has its eight, the others what they had by then, and each a step that was under way.
    assert memory.peak < MANY + 13 * 1_048_576
    assert memory.held_bytes == 0


async def test_small_run_waits_for_no_large_one(harness: EngineHarness) -> None:
    """It is at its end before they are."""
    engine = harness.new_engine(memory=MemoryLimiter(LARGE_BYTES))
    jobs = await large_runs(harness, 2, delay("pause", seconds=1.9))
    large = [asyncio.create_task(engine.execute(job)) for job in jobs]
    small = harness.delivery(await harness.publish([HOOK, transform("one", 1)], "hook>one"))
    await engine.execute(small)
    assert not all(task.done() for task in large)
    await asyncio.gather(*large)
    assert {(await harness.state(job)).status for job in (*jobs, small)} == {"succeeded"}


async def test_large_runs_that_come_back_together_wait_too(harness: EngineHarness) -> None:
    """By when they have been read their size is known: what there is no room for is let go of, and read again."""
    jobs = await large_runs(harness, 4, delay("pause", seconds=3600))
    await asyncio.gather(*map(harness.engine.execute, jobs))
    memory = Watched(MANY)
    later = harness.new_engine("later", lambda: time.time() + 3600, memory=memory)
    await asyncio.gather(*(later.execute(job, is_first_claim=False) for job in jobs))
    assert {(await harness.state(job)).status for job in jobs} == {"succeeded"}
    assert memory.held_bytes == 0


async def test_run_that_waits_to_be_read_again_counts_for_nothing(harness: EngineHarness) -> None:
    """It holds nothing: where it counted, other tenants' first large runs would wait for it."""
    jobs = await large_runs(harness, 3, delay("pause", seconds=3600))
    await asyncio.gather(*map(harness.engine.execute, jobs))
    memory = Watched(MANY)
    blocker = memory.share(harness.tenant_id)
    blocker.hold(MANY)
    later = harness.new_engine("later", lambda: time.time() + 3600, memory=memory)
    tasks = [asyncio.create_task(later.execute(job, is_first_claim=False)) for job in jobs]
    async with asyncio.timeout(30):
        await memory.all_wait(len(jobs))
    assert memory.held_bytes == MANY
    blocker.close()
    await asyncio.gather(*tasks)
    assert ({(await harness.state(job)).status for job in jobs}, memory.held_bytes) == ({"succeeded"}, 0)


async def test_run_that_is_given_up_lets_go_of_what_it_held(harness: EngineHarness) -> None:
    """Cancelled in the middle, as at a drain's end."""
    memory = Watched(MANY)
    (job,) = await large_runs(harness, 1, delay("pause", seconds=1.9))
    task = asyncio.create_task(harness.new_engine(memory=memory).execute(job))
    async with asyncio.timeout(20):
        await memory.is_full.wait()
    task.cancel()
    await asyncio.wait([task])
    assert memory.held_bytes == 0


async def test_no_tenant_waits_for_what_another_holds() -> None:
    """Of each the first goes on beside the others, until they all together have far too much; then the very first."""
    memory = MemoryLimiter(4 * LARGE_BYTES)
    first, second, other = (memory.share(tenant_id) for tenant_id in ("a", "a", "b"))
    for share in (first, second, other):
        share.hold(2 * LARGE_BYTES)
    assert [share.is_to_wait for share in (first, second, other)] == [False, True, False]
    third = memory.share("c")
    third.hold(FLOOD * 4 * LARGE_BYTES)
    assert [share.is_to_wait for share in (first, second, other, third)] == [False, True, True, True]
    third.close()
    assert [share.is_to_wait for share in (first, second, other)] == [False, True, False]
    first.close()
    assert [share.is_to_wait for share in (second, other)] == [False, False]


async def test_large_deliveries_are_read_when_there_is_room(harness: EngineHarness) -> None:
    """A body of small lists takes many times its text: one after the other is read, and all come to their ends."""
    workflow_id = await harness.publish([HOOK, transform("count", "{% $count($trigger.body) %}")], "hook>count")
    memory = Watched(MANY)
    engine = harness.new_engine(memory=memory)
    jobs = [harness.delivery(workflow_id, [[[], [], []]] * 90_000) for _ in range(4)]
    await asyncio.gather(*map(engine.execute, jobs))
    assert {(await harness.state(job)).output for job in jobs} == {90_000}
    assert jobs[0].delivery is not None
    counted = counted_text(jobs[0].delivery["body"])
    assert (MANY < counted <= memory.peak < 2 * counted, memory.held_bytes) == (True, 0)
