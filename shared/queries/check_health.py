"""Whether the service's dependencies can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from redis.asyncio import Redis

from shared.errors import Problem, UnavailableError, WorkflowEngineError
from shared.queue.connection import in_time
from shared.repositories.database import Database

TIMEOUT_SECONDS = 2.0


async def check_health(database: Database, redis: Redis) -> dict[str, str]:
    """`{supabase: ok, redis: ok}`; raises `UnavailableError` that names what did not answer within two seconds."""
    checks: Mapping[str, Awaitable[None]] = {"supabase": _supabase(database), "redis": _redis(redis)}
    # At the same time: the slower of the two decides how long a request takes.
    answered = dict(zip(checks, await asyncio.gather(*(_reached(check) for check in checks.values())), strict=True))
    down = [name for name, reached in answered.items() if not reached]
    if down:
        raise UnavailableError(
            f"Not within reach: {', '.join(down)}.",
            problems=tuple(Problem(f"/checks/{name}", "This did not answer.") for name in down),
        )
    return dict.fromkeys(checks, "ok")


async def _reached(check: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await check
    except (WorkflowEngineError, TimeoutError):
        return False
    return True


async def _supabase(database: Database) -> None:
    await database.select("workflows", "id", lambda query: query.limit(1))


async def _redis(redis: Redis) -> None:
    async with in_time():
        await redis.ping()
