"""The attacking tenant: its API client, and the state of the runs that it has started."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import psycopg

from shared.json_types import JsonObject

# Printed once everything is prepared and the attack itself begins.
BEGUN = "begun"
SECRET = "a secret of thirty-two characters"
FINAL = ("succeeded", "failed", "cancelled")

Node = JsonObject


def node(node_id: str, kind: str, parameters: JsonObject | None = None, **fields: Any) -> Node:
    """A node as the API takes it."""
    return {"id": node_id, "type": kind, "parameters": parameters or {}, **fields}


class Attacker:
    """One tenant's API key, and the attack's time. Refusals of the API are raised as `httpx.HTTPStatusError`."""

    def __init__(self, environment: Mapping[str, str], seconds: float) -> None:
        """`environment` is the stack's, with the attacker's key; `seconds` is how long the attack lasts at most."""
        self.environment, self.tenant_id = environment, environment["TENANT_ID"]
        headers = {"authorization": f"Bearer {environment['API_KEY']}"}
        self.api = httpx.AsyncClient(
            base_url=environment["API_URL"], headers=headers, timeout=seconds + 5, trust_env=False
        )
        self.seconds, self._began = seconds, time.monotonic()

    def begin(self) -> None:
        """Ends the preparation: from here on the victim is measured and the attack's time counts."""
        self._began = time.monotonic()
        print(BEGUN, flush=True)

    @property
    def remaining_seconds(self) -> float:
        """The attack's remaining time, negative when it is over."""
        return self._began + self.seconds - time.monotonic()

    # -- making workflows, webhooks and runs

    async def publish(self, *nodes: Node) -> str:
        """The id of a published workflow in which each node follows the one before, where that is an `if` its truth."""
        handles = {"if": {"source_handle": "true"}}
        edges = [
            {"source": one["id"], "target": other["id"], **handles.get(one["type"], {})}
            for one, other in pairwise(nodes)
        ]
        graph = {"name": "attack", "nodes": nodes, "edges": edges}
        workflow = (await self.api.post("/api/workflows", json=graph)).raise_for_status().json()
        (await self.api.post(f"/api/workflows/{workflow['id']}/publish")).raise_for_status()
        return str(workflow["id"])

    async def webhook(self, workflow_id: str, provider: str = "generic_hmac", **config: Any) -> str:
        """The path of a new webhook."""
        wanted = {"name": "attack", "workflow_id": workflow_id, "provider": provider, "secret": SECRET}
        made = await self.api.post("/api/webhooks", json={**wanted, "config": config})
        return f"/webhooks/{made.raise_for_status().json()['id']}/{provider}"

    async def deliver(self, path: str, body: bytes) -> httpx.Response:
        """The answer to a signed delivery."""
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-signature": signature}
        return await self.api.post(path, content=body, headers=headers)

    async def execute(self, workflow_id: str, value: Any = None) -> str:
        """The id of a run with this input."""
        answer = await self.api.post(f"/api/workflows/{workflow_id}/execute", json={"input": value})
        return str(answer.raise_for_status().json()["execution_id"])

    async def execute_many(self, workflow_id: str, count: int) -> list[str]:
        """The ids of so many runs, started eight at a time, whose inputs are their numbers."""
        gate = asyncio.Semaphore(8)

        async def one(number: int) -> str:
            async with gate:
                return await self.execute(workflow_id, number)

        return list(await asyncio.gather(*(one(number) for number in range(count))))

    # -- results

    async def ended(self, runs: Sequence[str]) -> str:
        """How the runs stand once all have ended, or time is over: `2 runs after 1.2 s: 2 succeeded`."""
        began = time.monotonic()
        while True:
            standing = self._standing(runs)
            final = sum(status in FINAL for status, _ in standing)
            if self.remaining_seconds <= 0 or final == len(runs):
                break
            await asyncio.sleep(0.2)
        states = Counter(" ".join(filter(None, state)) for state in standing)
        states["unknown"] = len(runs) - len(standing)
        shown = ", ".join(f"{number} {state}" for state, number in states.items() if number)
        return f"{len(runs)} runs after {time.monotonic() - began:.1f} s: {shown}"

    def _standing(self, runs: Sequence[str]) -> list[tuple[str, str | None]]:
        """Each known run's status, and its error's code."""
        query = "select status, error ->> 'code' from executions where id = any(%s)"
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(query, [[uuid.UUID(run) for run in runs]]).fetchall()

    async def storm(
        self, ask: Callable[[], Awaitable[httpx.Response]], connections: int, per_second: float = 1_000
    ) -> str:
        """Asks again and again until time is over; how many answers of each status there were. `per_second` is of each
        connection, at most."""
        answers: Counter[str] = Counter()

        async def one() -> None:
            while self.remaining_seconds > 0:
                next_at = time.monotonic() + 1 / per_second
                try:
                    async with asyncio.timeout(max(0.1, self.remaining_seconds)):
                        answers[str((await ask()).status_code)] += 1
                except (TimeoutError, httpx.TransportError) as error:
                    answers[type(error).__name__] += 1
                await asyncio.sleep(max(0.0, next_at - time.monotonic()))

        await asyncio.gather(*(one() for _ in range(connections)))
        return counted(answers)


def counted(answers: Counter[str]) -> str:
    """How many responses of each status there were, as text."""
    return "answers: " + (", ".join(f"{number} times {status}" for status, number in answers.items()) or "none")


@asynccontextmanager
async def host(head: str, body: bytes, pause_seconds: float = 0) -> AsyncIterator[str]:
    """The URL of a server that answers each request after a pause with these headers and this body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(pause_seconds)
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n{head}\r\n\r\n".encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the drain was killed or has given up, or the attack is over
        finally:
            writer.close()

    # Runs that come at once all connect at once.
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1_000)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
