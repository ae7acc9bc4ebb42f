"""A call of Supabase takes no longer than its caller has, whatever the server does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.errors import StorageUnavailableError
from shared.platform.deadline import within
from shared.repositories.database import Database
from tests.faults.hanging_servers import silent_host, trickling_host


@pytest.fixture(params=[silent_host, trickling_host], ids=["silent", "trickling"])
async def hanging(request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A database whose server takes everything, and answers nothing or a byte now and then."""
    host: Any = request.param
    with host() as port:
        database = Database(f"http://127.0.0.1:{port}", "key")
        yield database
        await database.close()


async def test_call_ends_when_its_caller_has_no_time_left(hanging: Database) -> None:
    """Reads and writes, their repetitions included."""
    for call in (hanging.rpc("anything", {}), hanging.select("anything", "id", lambda query: query)):
        started = time.monotonic()
        with within(0.4), pytest.raises(StorageUnavailableError):
            await call
        assert time.monotonic() - started < 5


async def test_calls_of_one_request_share_its_time(hanging: Database) -> None:
    """The first takes it all: those after it fail at once, and more than there are connections are not queued up."""
    started = time.monotonic()
    with within(0.4):
        found = await asyncio.gather(*(hanging.rpc("anything", {}) for _ in range(40)), return_exceptions=True)
        with pytest.raises(StorageUnavailableError):
            await hanging.rpc("anything", {})
    assert {type(error) for error in found} == {StorageUnavailableError}
    assert time.monotonic() - started < 5
