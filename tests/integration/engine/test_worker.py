"""The jobs that a drain has at work, over a real queue."""

from __future__ import annotations

import asyncio

import pytest

from shared.engine.drain.worker import Summary, Worker
from shared.ids import new_id
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob
from tests.integration.engine.harness import HOOK, EngineHarness, request
from tests.integration.engine.sink import Sink


class Slow(JobConsumer):
    """A queue that holds up whoever leaves a run, between its acknowledgement and the last look at it."""

    def hold(self) -> None:
        """From now on."""
        self.reached, self.goes_on = asyncio.Event(), asyncio.Event()

    async def was_signalled(self, execution_id: str) -> bool:
        if not self.goes_on.is_set():
            self.reached.set()
            await self.goes_on.wait()
        return await super().was_signalled(execution_id)


async def claimed_from(consumer: JobConsumer) -> ClaimedJob:
    """The next job, which must be there."""
    claimed = await consumer.claim(new_id())
    assert claimed is not None
    return claimed


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_run_that_comes_back_at_once_is_kept_by_the_fiber_that_has_it(
    harness: EngineHarness, sink: Sink, is_cancelled: bool
) -> None:
    """While one fiber still leaves a run, another has claimed it anew: its lock is renewed, its job handed back."""
    sink.pause_seconds = 1.0
    wait = {"id": "wait", "type": "wait_for_signal", "parameters": {"name": "go", "timeout_seconds": 3600}}
    workflow_id = await harness.publish([HOOK, wait, request("call", sink.url)], "hook>wait", "wait>call")
    consumer = harness.consumer_of(Slow)
    consumer.hold()
    worker = Worker(consumer, harness.services.producer, harness.engine, lambda: False, Summary())
    job = harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    leaving = asyncio.create_task(worker.work(await claimed_from(consumer)))
    await consumer.reached.wait()
    assert worker.active == {}  # what is acknowledged is no longer kept
    await harness.signal(job, "go")
    again = await claimed_from(consumer)
    staying = asyncio.create_task(worker.work(again))
    await sink.received_at_least(1)
    consumer.goes_on.set()
    await leaving
    assert list(worker.active.values()) == [again]
    if is_cancelled:
        staying.cancel()
        await asyncio.wait([staying])
        assert list(worker.active.values()) == [again]
    else:
        await staying
        assert worker.active == {}
        assert (await harness.state(job)).status == "succeeded"


async def test_job_that_is_handed_over_is_kept_before_its_predecessor_is_left(harness: EngineHarness) -> None:
    """The next job's lock is renewed while the one before it is still looked at."""
    wait = {"id": "wait", "type": "wait_for_signal", "parameters": {"name": "go", "timeout_seconds": 3600}}
    workflow_id = await harness.publish([HOOK, wait], "hook>wait")
    consumer = harness.consumer_of(Slow)
    consumer.hold()
    worker = Worker(consumer, harness.services.producer, harness.engine, lambda: True, Summary())
    first, second = harness.delivery(workflow_id), harness.delivery(workflow_id)
    await harness.services.producer.enqueue([first, second])
    work = asyncio.create_task(worker.work(await claimed_from(consumer)))
    await consumer.reached.wait()
    assert [claimed.job for claimed in worker.active.values()] == [second]
    consumer.goes_on.set()
    await work
    assert worker.active == {}


async def test_job_whose_work_has_not_begun_can_be_handed_back(harness: EngineHarness) -> None:
    """A fiber that is cancelled before its first turn has run nothing, and forgets nothing."""
    workflow_id = await harness.publish([HOOK], *())
    worker = Worker(harness.services.consumer, harness.services.producer, harness.engine, lambda: True, Summary())
    await harness.services.producer.enqueue([harness.delivery(workflow_id)])
    claimed = await claimed_from(harness.services.consumer)
    work = asyncio.create_task(worker.work(claimed))
    work.cancel()
    await asyncio.wait([work])
    assert list(worker.active.values()) == [claimed]


async def test_whether_more_is_taken_is_asked_when_a_job_ends(harness: EngineHarness, sink: Sink) -> None:
    """A drain that begins to leave while a job runs gets no other job for it."""
    sink.pause_seconds = 0.5
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    services, takes_more = harness.services, [True]
    worker = Worker(services.consumer, services.producer, harness.engine, lambda: takes_more[0], Summary())
    await services.producer.enqueue([harness.delivery(workflow_id), harness.delivery(workflow_id)])
    work = asyncio.create_task(worker.work(await claimed_from(services.consumer)))
    await sink.received_at_least(1)
    takes_more[0] = False
    await work
    assert (await services.consumer.counts())["wait"] == 1
