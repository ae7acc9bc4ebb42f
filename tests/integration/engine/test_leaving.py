"""How a drain leaves: what it still has is its own until it is done or handed back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from local.stack.redis import RedisServer
from shared.bootstrap import Services
from shared.engine.drain.loop import Drain
from shared.errors import KeeperDiedError
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob, ExecutionJob
from shared.queue.live_drains import LiveDrains
from shared.repositories.executions import ExecutionRepository
from tests.faults.hanging_servers import frozen
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.own_store import supabase_gateway  # noqa: F401  # the fixture
from tests.integration.engine.sink import Sink

LOCK_SECONDS = 1.0


class Clock:
    """The time that an invocation has left, which a test may cut short."""

    def __init__(self, seconds: float) -> None:
        self.ends_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """In seconds."""
        return self.ends_at - time.monotonic()


def drain_of(
    harness: EngineHarness,
    remaining: Callable[[], float],
    consumer: JobConsumer | None = None,
    executions: ExecutionRepository | None = None,
    waking: str | None = None,
    live_drains: LiveDrains | None = None,
    queue: Services | None = None,
) -> Drain:
    """A drain over the harness's parts or these, perhaps with all that `queue` has of another queue."""
    parts, schedules = harness.services, harness.schedules(harness.engine.clock)
    queue = queue or parts
    return Drain(
        consumer or queue.consumer,
        queue.producer,
        live_drains or queue.live_drains,
        executions or parts.executions,
        schedules,
        harness.engine,
        parts.settings,
        new_id(),
        remaining,
        waking,
    )


async def test_effect_longer_than_a_lock_is_sent_once_though_its_drain_leaves(
    harness: EngineHarness, sink: Sink
) -> None:
    """The leaving drain claims nothing more, but keeps the job that it still runs; another drain does not take it."""
    sink.pause_seconds = 4 * LOCK_SECONDS
    harness.services.settings = harness.services.settings._replace(lock_seconds=LOCK_SECONDS)
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    job, later = harness.delivery(workflow_id), harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    clock, other = Clock(40.0), Clock(40.0)
    leaving = asyncio.create_task(drain_of(harness, clock.remaining).run())
    await sink.received_at_least(1)
    clock.ends_at = time.monotonic() + 9.0  # within the reserve: a quarter of what the drain had
    await harness.services.producer.enqueue([later])
    staying = asyncio.create_task(drain_of(harness, other.remaining).run())
    first, second = await leaving, await staying
    assert ((await harness.state(job)).status, (await harness.state(later)).status) == ("succeeded", "succeeded")
    assert (first.completed, first.handed_back, second.completed) == (1, 0, 1)
    assert len(sink.received) == 2


async def test_leaving_drain_hands_over_what_comes_while_it_finishes(harness: EngineHarness, sink: Sink) -> None:
    """It does not count as live from the moment at which it claims nothing more: whoever adds a job wakes another."""
    sink.pause_seconds = 2.0
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    await harness.services.producer.enqueue([harness.delivery(workflow_id)])
    clock = Clock(40.0)
    leaving = asyncio.create_task(drain_of(harness, clock.remaining).run())
    await sink.received_at_least(1)
    assert await harness.services.live_drains.count() == 1
    clock.ends_at = time.monotonic() + 9.0
    for _ in range(100):
        if not await harness.services.live_drains.count():
            break
        await asyncio.sleep(0.05)
    assert (await harness.services.consumer.counts())["active"] == 1
    assert (await leaving).completed == 1


class SlowToPart(LiveDrains):
    """Takes its time to let a drain withdraw: until the run that is at work has ended."""

    consumer: JobConsumer

    async def withdraw(self, drain_id: str) -> None:
        for _ in range(200):
            if not (await self.consumer.counts())["active"]:
                break
            await asyncio.sleep(0.05)
        await super().withdraw(drain_id)


async def test_last_run_may_end_while_the_drain_withdraws(harness: EngineHarness, sink: Sink) -> None:
    """Nothing is left to wait for then: the drain ends as any other, and renews no locks any more."""
    sink.pause_seconds = 1.0
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    await harness.services.producer.enqueue([harness.delivery(workflow_id)])
    clock = Clock(40.0)
    slow = SlowToPart(harness.services.scripts, harness.services.redis_keys)
    slow.consumer = harness.services.consumer
    leaving = asyncio.create_task(drain_of(harness, clock.remaining, live_drains=slow).run())
    await sink.received_at_least(1)
    clock.ends_at = time.monotonic() + 9.0
    assert (await leaving).completed == 1
    assert "locks" not in {task.get_name() for task in asyncio.all_tasks()}


class Odd(ExecutionRepository):
    """A repository whose answers end the sweep that asks for them, as a cancellation that nobody has meant does."""

    async def claim_due(self, limit: int, lease_seconds: float, now: str) -> list[JsonObject]:
        raise asyncio.CancelledError


async def test_drain_whose_keeper_dies_hands_everything_back_and_fails(
    harness: EngineHarness, sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain that sweeps nothing any more is no drain: it says so at once, long before its time is up."""
    sink.pause_seconds = 20.0
    harness.services.settings = harness.services.settings._replace(lock_seconds=3.0)
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    job = harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    drain = drain_of(harness, Clock(600.0).remaining, executions=Odd(harness.services.database))
    with pytest.raises(KeeperDiedError, match="sweep"):
        await drain.run()
    assert "keeper_died" in [record.message for record in caplog.records if record.levelname == "ERROR"]
    counts = await harness.services.consumer.counts()
    assert (counts["active"], counts["wait"] + counts["active"]) == (0, 1)
    assert await harness.services.live_drains.count() == 0


class Half(JobConsumer):
    """A queue of whose claims every other one fails once it has been made, as an answer that is lost does."""

    claims = 0

    async def claim(self, token: str):  # type: ignore[no-untyped-def]  # as the queue's
        self.claims += 1
        if self.claims % 2 == 0:
            raise RuntimeError("a claim that went wrong")
        return await super().claim(token)


async def test_claim_that_fails_drops_no_job_that_others_have_claimed(harness: EngineHarness) -> None:
    """Whatever happens to one claim of several, the jobs of the others run."""
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    jobs = [harness.delivery(workflow_id) for _ in range(6)]
    await harness.services.producer.enqueue(jobs)
    consumer = harness.consumer_of(Half)
    summary = await drain_of(harness, Clock(30.0).remaining, consumer).run()
    assert summary.completed == len(jobs)
    assert {(await harness.state(job)).status for job in jobs} == {"succeeded"}


class Lost(JobConsumer):
    """A queue that cannot make sense of the first acknowledgement's answer."""

    is_first = True

    async def complete(self, claimed, fetch_next=True):  # type: ignore[no-untyped-def]  # as the queue's
        if self.is_first:
            self.is_first = False
            raise TypeError("an answer that nobody has thought of")
        return await super().complete(claimed, fetch_next)


async def test_job_whose_acknowledgement_fails_keeps_no_drain_alive(harness: EngineHarness) -> None:
    """It is not renewed any more, comes back when its lock has expired, and is found done."""
    harness.services.settings = harness.services.settings._replace(lock_seconds=LOCK_SECONDS)
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    job = harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    consumer = harness.consumer_of(Lost)
    drain = drain_of(harness, Clock(60.0).remaining, consumer)
    summary = await asyncio.wait_for(drain.run(), 30)
    assert (summary.completed, await consumer.counts()) == (2, {"wait": 0, "active": 0, "delayed": 0, "failed": 0})


async def test_drain_that_is_one_too_many_leaves_at_once(harness: EngineHarness) -> None:
    """The schedule invokes one a minute, however many there are; it takes nothing and is not counted."""
    harness.services.settings = harness.services.settings._replace(max_drains=1)
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    services = harness.services
    await services.producer.enqueue([harness.delivery(workflow_id)])
    await services.live_drains.announce("the one", 30)
    summary = await harness.drain()
    assert (summary.completed, (await services.consumer.counts())["wait"], await services.live_drains.count()) == (
        0,
        1,
        1,
    )
    await services.live_drains.withdraw("the one")
    assert (await harness.drain()).completed == 1


async def test_drain_leaves_in_time_though_redis_hangs(
    harness: EngineHarness, sink: Sink, redis_server: RedisServer
) -> None:
    """An invocation that its time runs out on has failed: it ends by itself, whatever it could not hand back."""
    sink.pause_seconds = 30.0
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    jobs = [harness.delivery(workflow_id) for _ in range(3)]
    await harness.services.producer.enqueue(jobs)
    clock = Clock(40.0)
    leaving = asyncio.create_task(drain_of(harness, clock.remaining).run())
    await sink.received_at_least(3)
    with frozen(redis_server):
        clock.ends_at = time.monotonic() + 6.0
        await asyncio.wait([leaving], timeout=20)
    assert leaving.done()
    # A busy machine is a moment late; a call that waits for its own deadline is so by more, each of several.
    assert clock.remaining() > -3
    assert (await leaving).completed == 0


async def test_waking_ends_with_the_drain_that_it_was_for(harness: EngineHarness) -> None:
    """Another one, which the schedule has invoked, leaves the mark: the one that is coming is not here yet."""
    services = harness.services
    token = await services.live_drains.claim_waking(8)
    await harness.services.redis.persist(
        services.redis_keys.waking
    )  # a busy machine may take longer than the mark lives
    await drain_of(harness, Clock(20.0).remaining).run()
    assert (token is not None, await services.live_drains.claim_waking(8)) == (True, None)
    await drain_of(harness, Clock(20.0).remaining, waking=token).run()
    assert await services.live_drains.claim_waking(8) is not None


async def test_job_that_is_done_while_it_is_handed_back_keeps_no_other_from_it(harness: EngineHarness) -> None:
    """What does not end when it is told to may do so a moment later: the rest is handed back, and no keeper stays."""
    released = asyncio.Event()

    class Stubborn:
        """An engine that hears no cancellation."""

        clock = harness.engine.clock

        async def execute(self, job: ExecutionJob, _is_first: bool = True) -> None:
            while not released.is_set():
                with suppress(asyncio.CancelledError):
                    await released.wait()

    class Late(JobConsumer):
        """A queue to which the first job that is handed back is done meanwhile."""

        async def hand_back(self, claimed: ClaimedJob) -> None:
            released.set()
            await asyncio.sleep(0.1)
            await super().hand_back(claimed)

    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    await harness.services.producer.enqueue([harness.delivery(workflow_id) for _ in range(2)])
    parts, clock = harness.services, Clock(40.0)
    engine: Any = Stubborn()
    consumer = harness.consumer_of(Late)
    schedules = harness.schedules(harness.engine.clock)
    drain = Drain(
        consumer,
        parts.producer,
        parts.live_drains,
        parts.executions,
        schedules,
        engine,
        parts.settings,
        new_id(),
        clock.remaining,
    )
    leaving = asyncio.create_task(drain.run())
    for _ in range(100):
        if (await consumer.counts())["active"] == 2:
            break
        await asyncio.sleep(0.05)
    clock.ends_at = time.monotonic() + 3.0
    await leaving
    assert not [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "locks"]
