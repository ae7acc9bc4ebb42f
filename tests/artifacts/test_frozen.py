"""A frozen hour: every connection is dead when the function thaws, and no caller notices."""

from __future__ import annotations

import asyncio
import time

import httpx
import psutil
import redis

from local.stack.stack import LocalStack
from shared.json_types import JsonObject
from tests.faults.conftest import Hurt
from tests.integration.engine.sink import Sink


def sever(stack: LocalStack) -> None:
    """Both servers close all connections, while the environments that have them stand still."""
    assert stack.redis is not None
    assert stack.gateway is not None
    with redis.Redis.from_url(stack.redis.url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    stack.gateway.stop()
    stack.gateway.start()


def only(stack: LocalStack, function: str) -> JsonObject:
    """The function's one environment, `{pid, busy, invocations}`."""
    (worker,) = stack.workers()[f"local-{function}"]
    return worker


async def idle_drains(stack: LocalStack) -> dict[int, int]:
    """How often each environment of the drain was invoked, in a moment when all of them stand still."""
    while True:
        workers = stack.workers()["local-drain"]
        if not any(worker["busy"] for worker in workers):
            return {worker["pid"]: worker["invocations"] for worker in workers}
        await asyncio.sleep(0.02)


def used_once_more(before: JsonObject, after: JsonObject) -> bool:
    """Whether it was this very environment that did the work."""
    return bool((after["pid"], after["invocations"]) == (before["pid"], before["invocations"] + 1))


def test_environment_stands_still_between_invocations(stack: LocalStack) -> None:
    """All of its processes are stopped from its answer on, and go on for the next invocation."""
    url = f"{stack.api_url}/health"
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 200
    inside = psutil.Process(only(stack, "health")["pid"]).children(recursive=True)
    deadline = time.monotonic() + 5
    while {process.status() for process in inside} != {psutil.STATUS_STOPPED}:
        assert time.monotonic() < deadline, [process.status() for process in inside]
        time.sleep(0.01)
    used = [process.cpu_times() for process in inside]
    time.sleep(0.5)
    assert [process.cpu_times() for process in inside] == used
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 200
    assert psutil.Process(only(stack, "health")["pid"]).children(recursive=True) == inside


def test_health_finds_its_connections_dead(stack: LocalStack) -> None:
    """Its next request is answered all the same."""
    url = f"{stack.api_url}/health"
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 200
    before = only(stack, "health")
    sever(stack)
    answer = httpx.get(url, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["checks"].values()) == {"ok"}
    assert used_once_more(before, only(stack, "health"))


def test_api_finds_its_connections_dead(stack: LocalStack) -> None:
    """A list is read and a key is made: neither reading nor writing fails."""
    headers = {"authorization": f"Bearer {stack.api_key}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=30, trust_env=False) as api:
        assert api.get("/api/api-keys").status_code == 200
        before = only(stack, "api-keys")
        sever(stack)
        assert api.get("/api/api-keys").status_code == 200
        assert used_once_more(before, only(stack, "api-keys"))
        sever(stack)
        assert api.post("/api/api-keys", json={"name": "after an hour"}).status_code == 201


async def test_intake_and_drain_find_their_connections_dead(short_drains: LocalStack) -> None:
    """A delivery is accepted, and its run succeeds."""
    async with Sink() as sink:
        hurt = Hurt(short_drains, sink)
        call = {"id": "call", "type": "http_request", "parameters": {"method": "POST", "url": f"{sink.url}/call"}}
        path = await hurt.hook([call], [("hook", "call")])
        first = await hurt.deliver(path, {"number": 1})
        await asyncio.to_thread(hurt.wait_until_finished, [first], 60)
        before, drains = only(short_drains, "intake"), await idle_drains(short_drains)
        sever(short_drains)
        second = await hurt.deliver(path, {"number": 2})
        assert await asyncio.to_thread(hurt.wait_until_finished, [second], 60) == {second: "succeeded"}
        assert used_once_more(before, only(short_drains, "intake"))
        # No drain has ended over it: those that were there are there, and have been used.
        after = await idle_drains(short_drains)
        assert drains.keys() <= after.keys()
        assert any(after[pid] > invocations for pid, invocations in drains.items())
        await hurt.api.aclose()
