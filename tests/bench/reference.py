"""The bare server that everything is measured against: one LPUSH and one INSERT for each request, nothing else.

Run by uvicorn as `tests.bench.reference:application` with REDIS_PORT and DATABASE_URL set.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import psycopg_pool
import redis.asyncio

from shared.json_types import JsonObject

_redis = redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"]))
_pool = psycopg_pool.AsyncConnectionPool(
    os.environ["DATABASE_URL"], min_size=4, max_size=4, open=False, kwargs={"autocommit": True}
)


async def application(
    scope: JsonObject,
    receive: Callable[[], Awaitable[JsonObject]],
    send: Callable[[JsonObject], Awaitable[None]],
) -> None:
    """Answer 202 once the body is in a list and in a table."""
    if scope["type"] == "lifespan":
        await receive()
        await _pool.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await _pool.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await _redis.lpush("reference", body)
    async with _pool.connection() as connection:
        await connection.execute("insert into reference (body) values (%s)", [body.decode()])
    await send(
        {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2"), (b"x-id", b"reference")]}
    )
    await send({"type": "http.response.body", "body": b"{}"})
