"""A call of Redis takes no longer than its caller has, and the connection that it had is not kept for the next."""

from __future__ import annotations

import asyncio
import time

import pytest

from local.stack.redis import RedisServer
from shared.errors import QueueUnavailableError
from shared.ids import new_id
from shared.platform.deadline import within
from shared.settings import Settings
from tests.faults.hanging_servers import frozen, silent_host
from tests.integration.queue.jobs import services_of


def settings(port: int, **more: str) -> Settings:
    """Those of a queue of a test's own."""
    return Settings(
        supabase_url="", supabase_key="", redis_host="127.0.0.1", redis_port=port, queue_name=f"q{new_id()}", **more
    )


async def test_server_that_never_spoke_is_out_of_reach_in_time() -> None:
    """It takes the connection and no more: whatever is asked of it, by however many at once."""
    with silent_host() as port:
        services = services_of(settings(port))
        started = time.monotonic()
        with within(0.5):
            calls = [
                call
                for _ in range(20)
                for call in (
                    services.live_drains.count(),
                    services.consumer.claim("t"),
                    services.producer.peek(new_id()),
                )
            ]
            found = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in found} == {QueueUnavailableError}
        assert time.monotonic() - started < 5
        await services.close()


async def test_answer_that_comes_too_late_is_nobody_elses(redis_server: RedisServer) -> None:
    """A server that hangs for a moment and then answers what was asked before: the next caller gets his own answer."""
    services = services_of(settings(redis_server.port))
    await services.consumer.ping()
    assert await services.consumer.count_error(new_id()) == 1
    with frozen(redis_server):
        for late in (
            services.consumer.ping(),
            services.consumer.count_error("late"),
            services.live_drains.count(),
            services.consumer.claim("token"),
        ):
            with within(0.2), pytest.raises(QueueUnavailableError):
                await late
    assert await services.live_drains.count() == 0
    assert await services.consumer.counts() == {"wait": 0, "active": 0, "delayed": 0, "failed": 0}
    assert await services.consumer.count_error(new_id()) == 1
    assert await services.consumer.claim("token") is None
    await services.close()
