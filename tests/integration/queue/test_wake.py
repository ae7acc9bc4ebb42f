"""Waking a drain by Lambda's Invoke API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from shared.bootstrap import Services
from shared.engine.drain.autoscaler import Autoscaler
from shared.engine.drain.worker import Progress
from shared.ids import new_id
from shared.platform.runtime import stop
from shared.queue import wake
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


async def test_one_of_many_invokes_the_drain(services: Services, invoked: Lambda) -> None:
    """An asynchronous invocation, by whoever comes first."""
    assert [await wake.wake_drain(services.live_drains) for _ in range(3)] == [True, False, False]
    assert invoked.calls == [("/2015-03-31/functions/drain/invocations", "Event")]


async def test_a_failed_invocation_is_survived(services: Services, invoked: Lambda) -> None:
    """The job is in the queue; the schedule's drain will find it."""
    invoked.status = 500
    assert not await wake.wake_drain(services.live_drains)


async def test_without_a_drain_nobody_is_woken(
    services: Services, invoked: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no function is named, only the schedule drains."""
    monkeypatch.delenv("DRAIN_FUNCTION_NAME")
    settings.cache_clear()
    assert not await wake.wake_drain(services.live_drains)
    assert invoked.calls == []


async def test_nobody_wakes_another_until_the_one_that_was_woken_has_come(services: Services, invoked: Lambda) -> None:
    """Other drains say every few seconds that they live; only the one that the waking made ends it."""
    assert await wake.wake_drain(services.live_drains)
    (payload,) = invoked.payloads
    assert payload["source"] == "wake"
    await services.live_drains.announce("another", 10)
    await services.live_drains.announce("woken by somebody else", 10, "another token")
    assert not await wake.wake_drain(services.live_drains)
    assert await services.live_drains.announce("the one", 10, payload["waking"]) == 3
    assert await wake.wake_drain(services.live_drains)


async def test_nobody_is_woken_when_there_are_enough(
    services: Services, invoked: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as may be: those that have not come yet count by their mark, and dead ones do not count."""
    monkeypatch.setenv("MAX_DRAINS", "2")
    settings.cache_clear()
    await services.live_drains.announce("one", 10)
    await services.live_drains.announce("dead", 0.01)
    await asyncio.sleep(0.05)
    assert await wake.wake_drain(services.live_drains)
    await services.live_drains.announce("two", 10, invoked.payloads[-1]["waking"])
    assert not await wake.wake_drain(services.live_drains)
    await services.live_drains.withdraw("one")
    assert await wake.wake_drain(services.live_drains)


async def test_a_full_drain_with_a_backlog_wakes_another(
    services: Services, queue_settings: Settings, invoked: Lambda
) -> None:
    """Once it has measured itself for some seconds."""
    await services.producer.enqueue([ExecutionJob(new_id(), new_id(), "resume") for _ in range(3)])
    full = queue_settings._replace(drain_concurrency=1)
    await services.live_drains.announce("the one", queue_settings.lock_seconds)
    autoscaler = Autoscaler(services.consumer, services.live_drains, full, lambda: Progress(0, 0, 1.0))
    scaling = asyncio.create_task(autoscaler.run_forever())
    ends_at = time.monotonic() + 20
    while not invoked.calls and time.monotonic() < ends_at:  # noqa: ASYNC110 -- the server tells nobody
        await asyncio.sleep(0.05)
    await stop([scaling])
    assert invoked.calls == [("/2015-03-31/functions/drain/invocations", "Event")]


async def test_waking_that_hangs_holds_nobody_up(services: Services, invoked: Lambda) -> None:
    """Neither who wakes, beyond some seconds, nor the threads on which names are resolved."""
    invoked.goes_on.clear()
    began = time.monotonic()
    assert not await wake.wake_drain(services.live_drains)
    assert time.monotonic() - began < 2 * wake.WAKE_SECONDS
    assert wake._threads()._max_workers == wake.MAX_THREADS
    await asyncio.wait_for(asyncio.to_thread(str), 1)
