"""Redis loses everything while runs are running or waiting."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis

from tests.faults.conftest import Hurt

RUNS = 40


@pytest.mark.slow
@pytest.mark.parametrize("is_drain_killed", [False, True], ids=["drain_lives", "drain_dies"])
async def test_flushed_redis_leaves_no_started_run_behind(hurt: Hurt, is_drain_killed: bool) -> None:
    """Runs in the middle of a request and runs that wait for a retry's timer all end, with or without their drain."""
    hurt.sink.pause_seconds = 2.0
    seen: set[str] = set()

    def answer(request):  # type: ignore[no-untyped-def]
        first = request.path == "/wait" and request.key not in seen
        seen.add(request.key)
        return (503, {"retry-after": "4"}, b"") if first else (200, {}, b"{}")

    hurt.sink.answer = answer
    retry = [{"errors": ["http_5xx"], "max_attempts": 3}]
    call = {"type": "http_request", "timeout_seconds": 5, "retry": retry}
    running = await hurt.hook([{"id": "run", **call, "parameters": {"url": hurt.sink.url + "/run"}}], [("hook", "run")])
    waiting = await hurt.hook(
        [{"id": "wait", **call, "parameters": {"url": hurt.sink.url + "/wait"}}], [("hook", "wait")]
    )
    first = [await hurt.deliver(waiting, {"number": number, "killed": is_drain_killed}) for number in range(RUNS)]
    await asyncio.to_thread(_wait_for_status, hurt, first, "waiting")
    before = len(hurt.sink.received)
    second = [await hurt.deliver(running, {"number": number, "killed": is_drain_killed}) for number in range(RUNS)]
    await hurt.sink.received_at_least(before + RUNS)
    if is_drain_killed:
        hurt.kill_drains()
    settings = hurt.stack.environment
    with redis.Redis(settings["REDIS_HOST"], int(settings["REDIS_PORT"])) as client:
        client.flushall()
    statuses = await asyncio.to_thread(hurt.wait_until_finished, [*first, *second], 120)
    assert set(statuses.values()) == {"succeeded"}


def _wait_for_status(hurt: Hurt, execution_ids: list[str], status: str) -> None:

    deadline = time.monotonic() + 30
    while True:
        query = "select count(*) from executions where id = any(%s::uuid[]) and status = %s"
        if hurt.rows(query, execution_ids, status) == [(len(execution_ids),)]:
            return
        assert time.monotonic() < deadline, f"not all runs are {status}"
        time.sleep(0.05)
