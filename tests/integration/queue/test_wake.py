"""Waking a drain by Lambda's Invoke API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from shared.engine.drain.autoscaler import Autoscaler
from shared.engine.drain.worker import Progress
from shared.ids import new_id
from shared.platform.runtime import stop
from shared.queue import wake
from shared.queue.consumer import JobConsumer
from shared.queue.job import ExecutionJob
from shared.settings import Settings, settings
from tests.integration.invoke_api import Lambda, invoke_api


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    """The Invoke API that this process is pointed at, with a drain's name."""
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPABASE_KEY", "unused")
    with invoke_api(monkeypatch) as found:
        yield found


async def test_one_of_many_invokes_the_drain(queue: JobConsumer, invoked: Lambda) -> None:
    """An asynchronous invocation, by whoever comes first."""
    assert [await wake.wake_drain(queue) for _ in range(3)] == [True, False, False]
    assert invoked.calls == [("/2015-03-31/functions/drain/invocations", "Event")]


async def test_a_failed_invocation_is_survived(queue: JobConsumer, invoked: Lambda) -> None:
    """The job is in the queue; the schedule's drain will find it."""
    invoked.status = 500
    assert not await wake.wake_drain(queue)


async def test_without_a_drain_nobody_is_woken(
    queue: JobConsumer, invoked: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no function is named, only the schedule drains."""
    monkeypatch.delenv("DRAIN_FUNCTION_NAME")
    settings.cache_clear()
    assert not await wake.wake_drain(queue)
    assert invoked.calls == []


async def test_nobody_wakes_another_until_the_one_that_was_woken_has_come(queue: JobConsumer, invoked: Lambda) -> None:
    """Other drains say every few seconds that they live; only the one that the waking made ends it."""
    assert await wake.wake_drain(queue)
    (payload,) = invoked.payloads
    assert payload["source"] == "wake"
    await queue.announce("another", 10)
    await queue.announce("woken by somebody else", 10, "another token")
    assert not await wake.wake_drain(queue)
    assert await queue.announce("the one", 10, payload["waking"]) == 3
    assert await wake.wake_drain(queue)


async def test_nobody_is_woken_when_there_are_enough(
    queue: JobConsumer, invoked: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as may be: those that have not come yet count by their mark, and dead ones do not count."""
    monkeypatch.setenv("MAX_DRAINS", "2")
    settings.cache_clear()
    await queue.announce("one", 10)
    await queue.announce("dead", 0.01)
    await asyncio.sleep(0.05)
    assert await wake.wake_drain(queue)
    await queue.announce("two", 10, invoked.payloads[-1]["waking"])
    assert not await wake.wake_drain(queue)
    await queue.withdraw("one")
    assert await wake.wake_drain(queue)


async def test_a_full_drain_with_a_backlog_wakes_another(
    queue: JobConsumer, queue_settings: Settings, invoked: Lambda
) -> None:
    """Once it has measured itself for some seconds."""
    await queue.enqueue([ExecutionJob(new_id(), new_id(), "resume") for _ in range(3)])
    full = queue_settings._replace(drain_concurrency=1)
    await queue.announce("the one", queue_settings.lock_seconds)
    autoscaler = Autoscaler(queue, full, lambda: Progress(0, 0, 1.0))
    scaling = asyncio.create_task(autoscaler.run_forever())
    ends_at = time.monotonic() + 20
    while not invoked.calls and time.monotonic() < ends_at:  # noqa: ASYNC110 -- the server tells nobody
        await asyncio.sleep(0.05)
    await stop([scaling])
    assert invoked.calls == [("/2015-03-31/functions/drain/invocations", "Event")]


async def test_waking_that_hangs_holds_nobody_up(queue: JobConsumer, invoked: Lambda) -> None:
    """Neither who wakes, beyond some seconds, nor the threads on which names are resolved."""
    invoked.goes_on.clear()
    began = time.monotonic()
    assert not await wake.wake_drain(queue)
    assert time.monotonic() - began < 2 * wake.WAKE_SECONDS
    assert wake._threads()._max_workers == wake.MAX_THREADS
    await asyncio.wait_for(asyncio.to_thread(str), 1)
