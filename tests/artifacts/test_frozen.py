"""A frozen hour: every connection is dead when the function thaws, and nobody notices."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import redis

from local.stack import LocalStack
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


def only(stack: LocalStack, function: str) -> dict[str, Any]:
    """The function's one environment, `{pid, busy, invocations}`."""
    (worker,) = stack.workers()[f"local-{function}"]
    return worker


def used_once_more(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether it was this very environment that did the work."""
    return bool((after["pid"], after["invocations"]) == (before["pid"], before["invocations"] + 1))


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
        before = only(short_drains, "intake")
        sever(short_drains)
        second = await hurt.deliver(path, {"number": 2})
        assert await asyncio.to_thread(hurt.wait_until_finished, [second], 60) == {second: "succeeded"}
        assert used_once_more(before, only(short_drains, "intake"))
        await hurt.api.aclose()
