"""A frozen hour: every connection is dead when the function thaws, and nobody notices."""

from __future__ import annotations

import httpx
import redis

from local.stack import LocalStack


def health(stack: LocalStack) -> httpx.Response:
    """What /health says, which asks Supabase and Redis."""
    return httpx.get(f"{stack.api_url}/health", timeout=30, trust_env=False)


def test_stale_connections_are_replaced_without_a_failed_request(stack: LocalStack) -> None:
    """While the environment stands still, both servers close its connections; its next request is answered."""
    assert health(stack).status_code == 200
    (before,) = stack.workers()["local-health"]
    assert stack.redis is not None
    assert stack.gateway is not None
    with redis.Redis.from_url(stack.redis.url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    stack.gateway.stop()
    stack.gateway.start()
    answer = health(stack)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["checks"].values()) == {"ok"}
    (after,) = stack.workers()["local-health"]
    assert (after["pid"], after["invocations"]) == (before["pid"], before["invocations"] + 1)
