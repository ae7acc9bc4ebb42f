"""Taking deliveries in: once each, in one round trip, and never past a drain that is leaving."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from redis.asyncio import Redis

from local.stack.redis import RedisServer
from shared.bootstrap import Services
from shared.errors import QueueUnavailableError
from shared.queue.producer import Limit, Receipt
from shared.settings import Settings
from tests.integration.queue.jobs import ONE, TWO, delivery, resume, services_of


async def test_accept_adds_the_delivery_once(services: Services) -> None:
    """The same delivery again is a duplicate of the first, also after its job has finished."""
    first = delivery(delivery_id=ONE)
    again = delivery(first.execution_id, delivery_id=TWO)
    assert await services.producer.accept(first, "bytes") == Receipt(
        ONE, duplicate=False, mismatch=False, live_drain=False
    )
    assert await services.producer.accept(again, "bytes") == Receipt(
        ONE, duplicate=True, mismatch=False, live_drain=False
    )
    claimed = await services.consumer.claim("a")
    assert claimed is not None
    assert claimed.job == first
    await services.consumer.complete(claimed)
    assert (await services.producer.accept(again, "bytes")).duplicate
    assert await services.consumer.claim("a") is None


async def test_accept_refuses_other_bytes_under_the_same_key(services: Services) -> None:
    """Another body under an accepted delivery's key is a mismatch and adds nothing."""
    first = delivery(delivery_id=ONE)
    await services.producer.accept(first, "bytes")
    receipt = await services.producer.accept(delivery(first.execution_id), "other")
    assert receipt == Receipt(ONE, duplicate=False, mismatch=True, live_drain=False)
    assert await services.producer.peek(first.execution_id) == first


async def test_accept_repeated_by_the_client_is_not_a_duplicate(services: Services) -> None:
    """A call repeated because its answer was lost answers as the first would have."""
    job = delivery()
    assert await services.producer.accept(job, "bytes") == await services.producer.accept(job, "bytes")


async def test_accept_by_fifty_at_once_adds_one_job(queue_settings: Settings) -> None:
    """Of concurrent copies over separate connections, exactly one is new."""
    queues = [services_of(queue_settings) for _ in range(5)]
    first = delivery()
    copies = [delivery(first.execution_id) for _ in range(50)]
    receipts = await asyncio.gather(*(queues[n % 5].producer.accept(copy, "bytes") for n, copy in enumerate(copies)))
    assert sum(not receipt.duplicate for receipt in receipts) == 1
    assert len({receipt.delivery_id for receipt in receipts}) == 1
    assert (await queues[0].consumer.counts())["wait"] == 1
    for queue in queues:
        await queue.close()


async def test_accept_takes_one_round_trip(services: Services, queue_settings: Settings) -> None:
    """Both limits, claim, add and the look for a drain are one command of the client's."""
    limits = [Limit("webhook", 100.0, 100), Limit("tenant", 100.0, 100)]
    await services.producer.accept(delivery(), "bytes", limits)
    client = Redis(port=queue_settings.redis_port, decode_responses=True)
    async with client.monitor() as monitor:
        await services.producer.accept(delivery(), "bytes", limits)
        await client.echo("end")
        sent = []
        while (seen := await monitor.next_command())["command"] != "ECHO end":
            if seen["client_type"] != "lua" and queue_settings.queue_name in seen["command"]:
                sent.append(seen["command"].split(" ")[0])
    await client.aclose()
    assert sent == ["EVALSHA"]


async def test_calls_of_one_tick_share_a_round_trip(services: Services, queue_settings: Settings) -> None:
    """Forty fibers that add and claim at once write to one connection only once each."""
    await services.producer.enqueue([resume() for _ in range(40)])
    claimed = await asyncio.gather(*(services.consumer.claim(f"fiber-{n}") for n in range(40)))
    client = Redis(port=queue_settings.redis_port, decode_responses=True)
    addresses = set()
    async with client.monitor() as monitor:
        await asyncio.gather(*(services.consumer.complete(job) for job in claimed if job))
        await client.echo("end")
        while (seen := await monitor.next_command())["command"] != "ECHO end":
            if seen["client_type"] != "lua" and seen["command"].startswith("EVALSHA"):
                addresses.add(seen["client_port"])
    await client.aclose()
    assert len(addresses) == 1


async def test_the_look_for_a_drain_sees_announced_ones_only(services: Services) -> None:
    """A drain counts from its announcement until it withdraws or its time is over."""
    assert not await services.producer.enqueue([resume()])
    assert await services.live_drains.announce("drain", 0.1) == 1
    assert await services.producer.enqueue([resume()])
    await asyncio.sleep(0.15)
    assert not await services.producer.enqueue([resume()])
    await services.live_drains.announce("drain", 10)
    await services.live_drains.withdraw("drain")
    assert not (await services.producer.accept(delivery(), "bytes")).live_drain
    assert await services.live_drains.count() == 0


async def test_no_job_is_left_behind_by_a_leaving_drain(queue_settings: Settings) -> None:
    """Whenever a job comes while a drain leaves, the drain takes it on its last look or the sender wakes another."""
    drain, intake = services_of(queue_settings), services_of(queue_settings)
    for turn in range(200):
        await drain.live_drains.announce("drain", 10)

        async def leave() -> bool:
            await drain.live_drains.withdraw("drain")
            claimed = await drain.consumer.claim("drain")
            if claimed:
                await drain.consumer.complete(claimed, fetch_next=False)
            return claimed is not None

        async def arrive(turn: int) -> bool:
            await asyncio.sleep(0.00002 * (turn % 20))
            return (await intake.producer.accept(delivery(), "bytes")).live_drain

        taken, believed = await asyncio.gather(leave(), arrive(turn))
        assert taken or not believed
        if not taken:
            claimed = await drain.consumer.claim("drain")
            assert claimed is not None
            await drain.consumer.complete(claimed, fetch_next=False)
    await drain.close()
    await intake.close()


async def test_claim_waking_is_given_to_one(services: Services) -> None:
    """Of many who find no drain, one invokes it; when that very drain has announced itself, the next may again."""
    tokens = await asyncio.gather(*(services.live_drains.claim_waking(max_drains=3) for _ in range(10)))
    (token,) = [token for token in tokens if token is not None]
    await services.live_drains.announce("another", 0.01)
    assert await services.live_drains.claim_waking(max_drains=3) is None
    await services.live_drains.announce("drain", 0.01, token)
    assert await services.live_drains.claim_waking(max_drains=3)


@pytest.mark.parametrize("forget", ["FLUSHALL", "SCRIPT FLUSH"])
async def test_a_server_that_forgot_everything_is_taught_again(redis_server_of_its_own: Settings, forget: str) -> None:
    """After a flush or a failover, the next calls load the scripts again; of one tick, each is done once."""
    services = services_of(redis_server_of_its_own)
    await services.producer.enqueue([resume()])
    await services.redis.execute_command(*forget.split())
    before = (await services.consumer.counts())["wait"]
    jobs = [delivery() for _ in range(5)]
    receipts = await asyncio.gather(*(services.producer.accept(job, "bytes") for job in jobs))
    assert not any(receipt.duplicate for receipt in receipts)
    assert (await services.consumer.counts())["wait"] == before + 5
    await services.close()


async def test_a_restarted_server_is_used_again(queue_settings: Settings, tmp_path: Path) -> None:
    """While the server is away, calls fail; when it is back, jobs and claims are still there, and scripts load anew."""
    with RedisServer(tmp_path / "redis") as server:
        services = services_of(queue_settings._replace(redis_port=server.port))
        job = delivery()
        await services.producer.accept(job, "bytes")
        server.stop()
        with pytest.raises(QueueUnavailableError):
            await services.producer.accept(delivery(), "bytes")
        server.start()
        assert (await services.producer.accept(delivery(job.execution_id), "bytes")).duplicate
        assert await services.consumer.claim("a") is not None
        await services.close()


async def test_an_unreachable_server_is_an_error_of_ours(queue_settings: Settings) -> None:
    """Whatever keeps Redis from answering is `QueueUnavailableError`, soon."""
    services = services_of(queue_settings._replace(redis_port=1))
    for call in (
        services.producer.accept(delivery(), "bytes"),
        services.consumer.claim("a"),
        services.config_cache.webhook_config("w"),
        services.live_drains.count(),
    ):
        with pytest.raises(QueueUnavailableError):
            await call
    await services.close()


async def test_accept_gives_up_on_a_server_that_does_not_answer(
    queue_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts connections and says nothing holds an answer up for a moment only."""
    monkeypatch.setattr("shared.queue.producer.ACCEPT_TIMEOUT_SECONDS", 0.1)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    services = services_of(queue_settings._replace(redis_port=silent.sockets[0].getsockname()[1]))
    with pytest.raises(QueueUnavailableError):
        await services.producer.accept(delivery(), "bytes")
    await services.close()
    silent.close()
    await silent.wait_closed()


async def test_hints_are_remembered_and_a_refill_does_not_overwrite(services: Services) -> None:
    """A reader's refill never replaces what a command has written meanwhile."""
    unknown = await services.config_cache.webhook_config("w")
    assert not unknown.is_known
    assert await services.config_cache.refill_webhook("w", {"name": "new"}, unknown)
    assert not await services.config_cache.refill_webhook("w", {"name": "old"}, unknown)
    seen = await services.config_cache.webhook_config("w")
    assert (seen.config, seen.is_fresh) == ({"name": "new"}, True)
    await services.config_cache.refill_webhook("w", None, seen)
    gone = await services.config_cache.webhook_config("w")
    assert (gone.is_known, gone.config) == (True, None)
    await services.config_cache.remember_published("f", 3, stream_version=7)
    await services.config_cache.remember_published("f", 1, stream_version=5)
    await services.config_cache.refill_published("f", 2)
    assert await services.config_cache.published_versions(["f", "g"]) == {"f": 3}


async def test_a_job_of_another_client_starts_a_workflow_by_hand(services: Services) -> None:
    """`{tenant_id, workflow_id, input}` under any id is one start; an id that is a UUID is the execution's."""
    tenant, workflow = "01930000-0000-7000-8000-000000000001", "01930000-0000-7000-8000-000000000002"
    key = services.consumer._bull.toKey("order-7")
    data = json.dumps({"tenant_id": tenant, "workflow_id": workflow, "input": {"n": 1}})
    await services.redis.hset(key, mapping={"name": "execution", "data": data})
    job = await services.producer.peek("order-7")
    assert job is not None
    assert (job.kind, job.start) == ("start", {"workflow_id": workflow, "input": {"n": 1}})
    assert job.execution_id != "order-7"


async def test_calls_survive_connections_that_died_while_idle(redis_server_of_its_own: Settings) -> None:
    """A function that was frozen finds its connections closed and notices nothing more than a reconnect."""
    services = services_of(redis_server_of_its_own)
    await asyncio.gather(*(services.producer.enqueue([resume()]) for _ in range(3)))
    await services.live_drains.count()
    other = Redis(port=redis_server_of_its_own.redis_port)
    await other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await other.aclose()
    assert await services.consumer.claim("a") is not None
    assert not (await services.config_cache.webhook_config("w")).is_known
    await services.close()
