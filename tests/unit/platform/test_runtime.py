"""Ending tasks."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from shared.platform.runtime import stop


async def test_task_that_loses_a_cancellation_is_stopped_all_the_same() -> None:
    """As `asyncio.wait_for` does in Python 3.11, when what it waits for is done in that moment."""

    async def deaf() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await stop([task])
    assert task.cancelled()


async def test_errors_of_stopped_tasks_disturb_nobody() -> None:
    """What has ended by itself stays as it is."""

    async def failing() -> None:
        raise ValueError

    async def ending() -> int:
        return 1

    tasks = [asyncio.create_task(failing()), asyncio.create_task(ending())]
    await asyncio.sleep(0)
    await stop(tasks)
    assert isinstance(tasks[0].exception(), ValueError)
    assert tasks[1].result() == 1


async def test_task_that_does_not_end_is_waited_for_in_vain_no_longer_than_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and whoever stops it goes on."""
    may_end = asyncio.Event()

    async def stubborn() -> None:
        while not may_end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await may_end.wait()

    task = asyncio.create_task(stubborn(), name="stubborn")
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await stop([task], within_seconds=0.05)
    assert not task.done()
    assert [(record.message, record.__dict__["tasks"]) for record in caplog.records] == [
        ("tasks_not_stopped", ["stubborn"])
    ]
    may_end.set()
    await task
