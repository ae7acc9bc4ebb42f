"""Claiming, finishing, putting off and handing back."""

from __future__ import annotations

import asyncio
import time

from shared.bootstrap import Services
from shared.queue.consumer import MAX_STALLED
from shared.settings import Settings
from tests.integration.queue.jobs import delivery, resume, services_of


async def test_claim_returns_jobs_in_order_with_their_data(services: Services) -> None:
    """What was added comes out unchanged, first in first out."""
    first, second = delivery(method="POST", body="ünïcode \u2028 🙂"), resume()
    await services.producer.enqueue([first, second])
    claimed = [
        await services.consumer.claim("a"),
        await services.consumer.claim("a"),
        await services.consumer.claim("a"),
    ]
    assert [job and job.job for job in claimed] == [first, second, None]


async def test_complete_hands_over_the_next_job_and_leaves_nothing(services: Services) -> None:
    """Finishing one job fetches the next; a finished job's id is free again."""
    first, second = resume(), resume()
    await services.producer.enqueue([first, second])
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    following = await services.consumer.complete(claimed)
    assert following is not None
    assert following.job == second
    assert await services.consumer.complete(following) is None
    assert await services.consumer.counts() == {"wait": 0, "active": 0, "delayed": 0, "failed": 0}
    assert await services.producer.peek(first.execution_id) is None


async def test_execution_that_is_enqueued_again_while_it_is_claimed_is_told_so(services: Services) -> None:
    """No second job is added; whoever has the first one learns of it once, and not of what came before it began."""
    job = resume()
    await services.producer.enqueue([job], signalled=True)
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    await services.consumer.resume(job.execution_id)
    before = await services.consumer.was_signalled(job.execution_id)
    await services.producer.enqueue([job], signalled=True)
    await services.consumer.complete(claimed)
    told = [
        await services.consumer.was_signalled(job.execution_id),
        await services.consumer.was_signalled(job.execution_id),
    ]
    assert (before, told, (await services.consumer.counts())["wait"]) == (False, [True, False], 0)


async def test_enqueue_adds_one_job_per_execution(services: Services) -> None:
    """An execution that has a job in the queue gets no second one."""
    job = delivery()
    await services.producer.enqueue([job, job])
    await services.producer.enqueue([job._replace(kind="resume", delivery=None)])
    assert (await services.consumer.counts())["wait"] == 1
    assert await services.producer.peek(job.execution_id) == job


async def test_fail_keeps_only_malformed_jobs(services: Services, queue_settings: Settings) -> None:
    """A job without sense stays for people to look at; a failed execution's id is free for its next job."""
    from bullmq import Queue

    node = Queue(queue_settings.queue_name, {"prefix": queue_settings.queue_prefix, "connection": services.redis})
    await node.add("execution", {"no": "tenant"}, {"jobId": "odd"})
    await services.producer.enqueue([resume()])
    odd = await services.consumer.claim("a")
    assert odd is not None
    assert odd.job is None
    assert odd.malformed is not None
    following = await services.consumer.fail(odd, odd.malformed)
    assert following is not None
    await services.consumer.fail(following, "because")
    assert await services.consumer.counts() == {"wait": 0, "active": 0, "delayed": 0, "failed": 1}


async def test_delay_puts_off_without_losing(services: Services) -> None:
    """A delayed job comes back after its time, counted as one attempt, and waiting for it ends then."""
    await services.producer.enqueue([resume()])
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    await services.consumer.delay(claimed, 0.2)
    assert await services.consumer.claim("a") is None
    began = time.monotonic()
    await services.consumer.wait_for_job(5)
    while (again := await services.consumer.claim("a")) is None:
        await services.consumer.wait_for_job(1)
    assert 0.1 < time.monotonic() - began < 1
    assert (again.attempts_made, again.attempts_started) == (1, 2)


async def test_hand_back_puts_the_job_first(services: Services) -> None:
    """A job handed back is unlocked and next in line."""
    first, second = resume(), resume()
    await services.producer.enqueue([first, second])
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    await services.consumer.hand_back(claimed)
    again = await services.consumer.claim("b")
    assert again is not None
    assert again.job == first
    assert await services.consumer.extend_locks([claimed, again]) == [first.execution_id]


async def test_complete_without_the_lock_fetches_the_next_job(services: Services) -> None:
    """Whoever lost a job's lock goes on with another job and takes nothing from the new owner."""
    await services.producer.enqueue([resume(), resume()])
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    following = await services.consumer.complete(claimed._replace(token="b"))
    assert following is not None
    assert following.token == "b"
    assert await services.consumer.extend_locks([claimed, following]) == []


async def test_wait_for_job_returns_when_one_is_added(services: Services) -> None:
    """An idle drain hears of a job at once."""
    waiting = asyncio.create_task(services.consumer.wait_for_job(10))
    await asyncio.sleep(0.05)
    await services.producer.enqueue([resume()])
    await asyncio.wait_for(waiting, 1)
    assert await services.consumer.claim("a") is not None


async def test_recover_stalled_returns_the_jobs_of_a_dead_drain(
    queue_settings: Settings,
) -> None:
    """A job whose lock expired comes back at the second sweep; one whose lock is renewed does not."""
    services = services_of(queue_settings._replace(lock_seconds=0.2))
    dead, alive = resume(), resume()
    await services.producer.enqueue([dead, alive])
    await services.consumer.claim("a")
    renewed = await services.consumer.claim("b")
    assert renewed is not None
    assert await services.consumer.recover_stalled() == []
    recovered: list[str] = []
    for _ in range(6):
        await asyncio.sleep(0.1)
        assert await services.consumer.extend_locks([renewed]) == []
        recovered += await services.consumer.recover_stalled()
    assert recovered == [dead.execution_id]
    await services.close()


async def test_a_job_that_stalls_too_often_comes_back_with_a_reason_to_fail(queue_settings: Settings) -> None:
    """A job that kills every drain is not tried for ever."""
    services = services_of(queue_settings._replace(lock_seconds=0.02))
    await services.producer.enqueue([resume()])
    reasons = []
    for _ in range(60):
        if claimed := await services.consumer.claim("a"):
            reasons.append(claimed.deferred_failure)
            if claimed.deferred_failure:
                break
        await asyncio.sleep(0.03)
        await services.consumer.recover_stalled()
    assert reasons == [None] * (MAX_STALLED + 1) + ["job stalled more than allowable limit"]
    await services.close()
