"""A queue of its own for each test, on the session's Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from local.stack.redis import RedisServer
from shared.bootstrap import Services
from shared.settings import Settings
from tests.integration.queue.jobs import services_of


@pytest.fixture
def queue_settings(redis_server: RedisServer) -> Settings:
    """The settings of an empty queue."""
    return Settings(
        supabase_url="http://127.0.0.1:1",
        supabase_key="unused",
        redis_port=redis_server.port,
        queue_name=f"queue-{uuid4().hex}",
    )


@pytest.fixture
async def services(queue_settings: Settings) -> AsyncIterator[Services]:
    """The empty queue."""
    services = services_of(queue_settings)
    yield services
    await services.close()


@pytest.fixture
def redis_server_of_its_own(tmp_path: Path, queue_settings: Settings) -> Iterator[Settings]:
    """The settings of a queue on a server that no other test uses, so that it may be flushed."""
    with RedisServer(tmp_path / "redis") as server:
        yield queue_settings._replace(redis_port=server.port)
