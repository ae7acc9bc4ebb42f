"""The primary becomes a replica of another server, and its name leads to that one: as managed Redis fails over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from local.stack.redis import RedisServer
from shared.ids import new_id
from shared.settings import Settings
from tests.integration.queue.jobs import delivery, services_of


class Name:
    """What clients connect to: whichever server it leads to at that moment. Connections stay where they are."""

    def __init__(self, port: int) -> None:
        self.leads_to = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Name:
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.leads_to)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(_carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
    target.close()


@pytest.fixture
async def name(redis_server_of_its_own: Settings) -> AsyncIterator[Name]:
    """The name of a server that no other test uses."""
    async with Name(redis_server_of_its_own.redis_port) as name:
        yield name


async def test_old_primary_is_left_at_once(redis_server_of_its_own: Settings, name: Name, tmp_path: Path) -> None:
    """Scripts, single commands and pipelines alike: none of them fails because a connection is from before."""
    services = services_of(redis_server_of_its_own._replace(redis_port=name.port))
    # Several connections, for scripts and for commands.
    await asyncio.gather(*(services.producer.enqueue([delivery()]) for _ in range(3)))
    await asyncio.gather(
        *(services.consumer.count_error(new_id()) for _ in range(5)),
        services.consumer.remember_waiting_client(new_id()),
    )
    with RedisServer(tmp_path / "other") as other:
        async with Redis(port=redis_server_of_its_own.redis_port) as old:
            await old.replicaof("127.0.0.1", str(other.port))
        name.leads_to = other.port
        job = delivery()
        receipt = await services.producer.accept(job, "0")
        assert not receipt.duplicate
        await asyncio.gather(
            *(services.consumer.count_error(new_id()) for _ in range(5)),
            services.consumer.remember_waiting_client(new_id()),
        )
        claimed = await services.consumer.claim(new_id())
        assert claimed is not None
        assert claimed.job == job
        await services.consumer.complete(claimed)
        await services.close()
