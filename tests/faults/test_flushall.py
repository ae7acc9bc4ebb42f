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


@pytest.mark.slow
@pytest.mark.parametrize("is_drain_killed", [False, True], ids=["drain_lives", "drain_dies"])
async def test_flushed_redis_leaves_no_caller_waiting(hurt: Hurt, is_drain_killed: bool) -> None:
    """Runs that wait for others go on when those end, though nothing in Redis knows of either any more."""
    hurt.sink.pause_seconds = 3.0
    nodes = [
        {"id": "start", "type": "manual_trigger"},
        {"id": "get", "type": "http_request", "timeout_seconds": 5, "parameters": {"url": hurt.sink.url + "/called"}},
    ]
    drawn = {"name": "called", "nodes": nodes, "edges": [{"source": "start", "target": "get"}]}
    called = (await hurt.api.post("/api/workflows", json=drawn)).raise_for_status().json()["id"]
    (await hurt.api.post(f"/api/workflows/{called}/publish")).raise_for_status()
    path = await hurt.hook(
        [{"id": "ask", "type": "call_workflow", "parameters": {"workflow_id": called}}], [("hook", "ask")]
    )
    before = len(hurt.sink.received)
    callers = [await hurt.deliver(path, {"number": number, "killed": is_drain_killed}) for number in range(RUNS)]
    await hurt.sink.received_at_least(before + RUNS)
    await asyncio.to_thread(_wait_for_status, hurt, callers, "waiting")
    if is_drain_killed:
        hurt.kill_drains()
    settings = hurt.stack.environment
    with redis.Redis(settings["REDIS_HOST"], int(settings["REDIS_PORT"])) as client:
        client.flushall()
    statuses = await asyncio.to_thread(hurt.wait_until_finished, callers, 120)
    assert set(statuses.values()) == {"succeeded"}
    query = "select count(*), count(distinct parent_id) from executions where parent_id = any(%s::uuid[])"
    assert hurt.rows(query, callers) == [(RUNS, RUNS)]


def _wait_for_status(hurt: Hurt, execution_ids: list[str], status: str) -> None:

    deadline = time.monotonic() + 30
    while True:
        query = "select count(*) from executions where id = any(%s::uuid[]) and status = %s"
        if hurt.rows(query, execution_ids, status) == [(len(execution_ids),)]:
            return
        assert time.monotonic() < deadline, f"not all runs are {status}"
        time.sleep(0.05)
