"""What Redis answers when it does not do what it was asked: not now, or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.bootstrap import Services
from shared.errors import QueueError, QueueUnavailableError
from shared.settings import Settings
from tests.integration.queue.jobs import delivery, resume, services_of


@pytest.fixture
async def own(redis_server_of_its_own: Settings) -> AsyncIterator[Services]:
    """A queue on a server that may be spoilt."""
    services = services_of(redis_server_of_its_own)
    yield services
    await services.close()


async def test_script_that_goes_wrong_is_an_error_of_ours(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    """Asking again would not help: it is logged as an error, and told apart from a Redis that is out of reach."""
    await services.redis.set(services.redis_keys.drains, "no sorted set")
    for call in (
        services.live_drains.announce("a", 10),
        services.producer.enqueue([resume()]),
        services.producer.accept(delivery(), "bytes"),
    ):
        with pytest.raises(QueueError) as raised:
            await call
        assert "WRONGTYPE" in str(raised.value.__cause__)
    assert [record.levelname for record in caplog.records if record.message == "queue_refused"] == ["ERROR"] * 3


@pytest.mark.parametrize("setting", ["maxmemory", "replicaof"])
async def test_server_that_takes_no_writes_now_is_unavailable(own: Services, setting: str) -> None:
    """It has no memory left, or has become a replica: in scripts as outside of them."""
    await own.producer.enqueue([resume()])
    if setting == "maxmemory":
        await own.redis.config_set("maxmemory", "1")
    else:
        await own.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(QueueUnavailableError):
        await own.producer.enqueue([resume()])
    with pytest.raises(QueueUnavailableError):
        await own.consumer.remember_waiting_client(resume().execution_id)


async def test_server_that_is_busy_with_a_script_is_unavailable(own: Services) -> None:
    """Until the script has ended or is killed."""
    await own.redis.config_set("busy-reply-threshold", "1")
    endless = asyncio.create_task(own.redis.eval("while true do end", 0))
    await asyncio.sleep(0.2)
    with pytest.raises(QueueUnavailableError):
        await own.consumer.counts()
    await own.redis.script_kill()
    await asyncio.wait([endless])
    assert endless.exception() is not None
    assert (await own.consumer.counts())["wait"] == 0
