"""Redis, Supabase and both are stopped and started while deliveries come in: what is acknowledged is never lost."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.faults.conftest import SECRET, Hurt
from tests.faults.hanging_servers import frozen

RATE = 30
OUTAGE_SECONDS = 3.0
CALM_SECONDS = 1.5


HANGS = ("redis hangs", "supabase hangs", "postgres hangs")


@contextmanager
def stopped_server(server: Any) -> Iterator[None]:
    """The server is away inside the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@dataclass
class Provider:
    """Sends deliveries at a steady rate, and each again until it is acknowledged, as providers do."""

    api: httpx.AsyncClient
    path: str
    phase: str = "calm"
    acknowledged: dict[int, str] = field(default_factory=dict)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    without_retry_after: int = 0
    slowest_seconds: float = 0.0

    async def run(self, stopped: asyncio.Event) -> int:
        """How many deliveries were sent; all of them are acknowledged when this returns."""
        number = 0
        async with asyncio.TaskGroup() as sending:
            while not stopped.is_set():
                sending.create_task(self._until_acknowledged(number))
                number += 1
                await asyncio.sleep(1 / RATE)
        return number

    async def has_answers(self, phase: str, status: int) -> None:
        """Returns once more than a second's deliveries were so answered, however slow the machine; at the latest after
        a minute, and then the test says what is missing."""
        for _ in range(600):
            if self.answers[phase, status] > RATE:
                return
            await asyncio.sleep(0.1)

    async def _until_acknowledged(self, number: int) -> None:
        raw = json.dumps({"number": number}).encode()
        signature = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-signature": signature}
        while number not in self.acknowledged:
            phase, started = self.phase, time.monotonic()
            answer = await self.api.post(self.path, content=raw, headers=headers)
            self.answers[phase, answer.status_code] += 1
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
            if answer.is_success:
                self.acknowledged[number] = answer.json()["execution_id"]
                return
            self.without_retry_after += "retry-after" not in answer.headers
            await asyncio.sleep(1.0)


@pytest.mark.slow
async def test_whatever_is_stopped_serverno_acknowledged_delivery_is_lost(hurt: Hurt) -> None:
    """Each delivery has exactly one run in the end. With one of the two out of reach, or hanging, all are taken; with
    both, the provider is asked to try again, and with nothing but 202, 200 and 503 is it ever answered."""
    path = await hurt.hook([{"id": "keep", "type": "transform", "parameters": {"value": 1}}], [("hook", "keep")])
    redis, postgres, gateway = hurt.stack.redis, hurt.stack.postgres, hurt.stack.gateway
    assert redis is not None
    assert postgres is not None
    assert gateway is not None
    provider, stopped = Provider(hurt.api, path), asyncio.Event()
    sending = asyncio.create_task(provider.run(stopped))
    for phase, servers, outage in (
        ("without redis", [redis], stopped_server),
        ("without supabase", [gateway], stopped_server),
        ("without postgres", [postgres], stopped_server),
        ("redis hangs", [redis], frozen),
        ("supabase hangs", [gateway], frozen),
        ("postgres hangs", [postgres], frozen),
        ("without both", [redis, gateway], stopped_server),
    ):
        await asyncio.sleep(CALM_SECONDS)
        with ExitStack() as stack:
            for server in servers:
                await asyncio.to_thread(stack.enter_context, outage(server))
            provider.phase = phase
            await asyncio.sleep(OUTAGE_SECONDS)
            await provider.has_answers(phase, 503 if len(servers) > 1 else 202)
            provider.phase = "calm"
    await asyncio.sleep(CALM_SECONDS)
    stopped.set()
    sent = await sending

    assert {status for _, status in provider.answers} <= {200, 202, 503}
    assert provider.without_retry_after == 0
    for phase in ("without redis", "without supabase", "without postgres", *HANGS):
        assert provider.answers[phase, 202] > RATE, provider.answers
        assert provider.answers[phase, 503] == 0, provider.answers
    assert provider.answers["without both", 503] > RATE, provider.answers
    assert len(provider.acknowledged) == sent == len(set(provider.acknowledged.values()))
    statuses = await asyncio.to_thread(hurt.wait_until_finished, list(provider.acknowledged.values()), 90)
    assert set(statuses.values()) == {"succeeded"}
    runs = hurt.rows(
        "select e.id::text, count(*) from executions e join event_store s on s.stream_id = e.id "
        "where e.webhook_id = %s and s.event_type = 'ExecutionStarted' group by e.id",
        path.split("/")[2],
    )
    assert dict(runs) == dict.fromkeys(provider.acknowledged.values(), 1)
