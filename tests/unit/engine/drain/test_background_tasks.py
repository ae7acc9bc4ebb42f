"""What a drain does beside its runs goes on, or ends the drain."""

from __future__ import annotations

import asyncio
import logging

import pytest

from shared.engine.drain.background_tasks import BackgroundTasks, run_periodically
from shared.errors import QueueUnavailableError, StorageUnavailableError


async def test_turn_that_fails_is_logged_and_followed_by_the_next(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raised; only what is our error is logged as one."""
    turns, done = (
        iter((KeyError("a"), QueueUnavailableError(), TypeError("b"), StorageUnavailableError())),
        asyncio.Event(),
    )

    async def turn() -> float:
        failure = next(turns, None)
        if failure is not None:
            raise failure
        done.set()
        return 60.0

    keepers = BackgroundTasks(lambda name: pytest.fail(f"{name} died"))
    keepers.start("odd", run_periodically("odd", turn, failed_pause_seconds=0.0))
    await asyncio.wait_for(done.wait(), 5)
    await keepers.stop()
    records = [(record.levelno, record.message, record.__dict__["keeper"]) for record in caplog.records]
    error, waits = (logging.ERROR, "keeper_error", "odd"), (logging.WARNING, "keeper_waits", "odd")
    assert records == [error, waits, error, waits]


async def test_turn_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """A server that does not answer takes one turn, not all that would have come after it."""
    turns = 0
    done = asyncio.Event()

    async def turn() -> float:
        nonlocal turns
        turns += 1
        if turns == 3:
            done.set()
        await asyncio.Event().wait()
        return 0.0

    keepers = BackgroundTasks(lambda name: pytest.fail(f"{name} died"))
    keepers.start("odd", run_periodically("odd", turn, deadline_seconds=0.01, failed_pause_seconds=0.0))
    await asyncio.wait_for(done.wait(), 5)
    await keepers.stop()
    assert {record.__dict__["error"] for record in caplog.records} == {"timeout"}


async def _returns() -> None:
    return None


async def _is_cancelled_by_nobody() -> None:
    raise asyncio.CancelledError


async def _fails() -> None:
    raise RuntimeError("outside of any turn")


@pytest.mark.parametrize("keep", [_returns, _is_cancelled_by_nobody, _fails])
async def test_keeper_that_ends_is_told_of(keep, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    """However it has ended; the others are there until they are stopped."""
    dead: asyncio.Queue[str] = asyncio.Queue()
    keepers = BackgroundTasks(dead.put_nowait)
    keepers.start("lives", run_periodically("lives", lambda: asyncio.sleep(60.0, 60.0)))
    keepers.start("dies", keep())
    assert await asyncio.wait_for(dead.get(), 5) == "dies"
    await keepers.stop()
    assert dead.empty()
    assert [(record.levelno, record.__dict__["keeper"]) for record in caplog.records] == [(logging.ERROR, "dies")]
