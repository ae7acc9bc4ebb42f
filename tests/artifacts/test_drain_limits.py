"""A drain at the end of its time, and one that is killed there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from local.stack.stack import LocalStack
from tests.faults.conftest import Hurt, with_sink

CALL = {"type": "http_request", "timeout_seconds": 60}


@pytest.fixture
async def hurt(short_drains: LocalStack) -> AsyncIterator[Hurt]:
    """The stack and a server that its workflows call."""
    async with with_sink(short_drains) as hurt:
        yield hurt


@pytest.fixture
async def unscheduled(unscheduled_drains: LocalStack) -> AsyncIterator[Hurt]:
    """The same, without a schedule."""
    async with with_sink(unscheduled_drains) as hurt:
        yield hurt


async def webhook(hurt: Hurt) -> str:
    """The path of a webhook whose runs call the server once."""
    node = {"id": "call", **CALL, "parameters": {"method": "POST", "url": hurt.sink.url + "/call"}}
    return await hurt.hook([node], [("hook", "call")])


def outcomes(hurt: Hurt, execution_ids: list[str]) -> list[int]:
    """How often the nodes of each run have settled."""
    query = "select count(*) from event_store where event_type = 'NodeSucceeded' and stream_id = any(%s::uuid[]) "
    return [count for (count,) in hurt.rows(query + "group by stream_id", execution_ids)]


async def test_drain_hands_over_at_its_limit(unscheduled: Hurt) -> None:
    """Eight requests of two seconds, one after the other, are more than twelve seconds, and no helper may come. No
    schedule comes and no other delivery: only the drain itself can have called the successor that finishes them."""
    unscheduled.sink.pause_seconds = 2.0
    parameters = {"method": "POST", "url": unscheduled.sink.url + "/call"}
    calls = [f"call_{number}" for number in range(8)]
    nodes = [{"id": call, **CALL, "parameters": parameters} for call in calls]
    path = await unscheduled.hook(nodes, list(pairwise(["hook", *calls])))
    execution_ids = [await unscheduled.deliver(path, {"number": number}) for number in range(4)]
    statuses = await asyncio.to_thread(unscheduled.wait_until_finished, execution_ids, 90)
    assert set(statuses.values()) == {"succeeded"}
    assert outcomes(unscheduled, execution_ids) == [len(calls)] * 4
    assert sum(worker["invocations"] for worker in unscheduled.stack.workers()["local-drain"]) == 2
    assert "timed out" not in unscheduled.stack.log("drain").read_text().lower()


async def test_drain_that_its_timeout_kills_loses_nothing(hurt: Hurt) -> None:
    """A drain that stands still in the middle of its runs is killed by Lambda; every run ends all the same."""
    hurt.sink.pause_seconds = 1.0
    seen = len(hurt.sink.received)
    path = await webhook(hurt)
    execution_ids = [await hurt.deliver(path, {"number": number}) for number in range(8)]
    await hurt.sink.received_at_least(seen + 2)
    (pid,) = [worker["pid"] for worker in hurt.stack.workers()["local-drain"] if worker["busy"]][:1]
    os.kill(pid, signal.SIGSTOP)
    statuses = await asyncio.to_thread(hurt.wait_until_finished, execution_ids, 90)
    assert set(statuses.values()) == {"succeeded"}
    assert outcomes(hurt, execution_ids) == [1] * 8
    # Whoever took the runs over was another environment; this one ends by its timeout and not before.
    deadline = time.monotonic() + 20
    while "Task timed out after 12.00 seconds" not in hurt.stack.log("drain").read_text():
        assert time.monotonic() < deadline, "the timeout did not come"
        await asyncio.sleep(0.2)
    assert not Path(f"/proc/{pid}").exists()  # noqa: ASYNC240


async def test_drain_says_what_it_did_in_json(hurt: Hurt) -> None:
    """Python's own log lines carry their fields and the invocation's id, as the template's LogFormat asks."""
    path = await webhook(hurt)
    await asyncio.to_thread(hurt.wait_until_finished, [await hurt.deliver(path, {})], 60)
    deadline = time.monotonic() + 30
    while not (lines := [line for line in hurt.stack.log("drain").read_text().splitlines() if '"drained"' in line]):
        assert time.monotonic() < deadline, "no drain has ended"
        await asyncio.sleep(0.2)
    assert {"completed", "handed_back", "requestId"} <= set(json.loads(lines[-1]))
