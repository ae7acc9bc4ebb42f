"""Answers on their way from the drain that has one to whoever waits for it. Redis is not the source of truth here too:
the store has every answer, and those who wait look there as well."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys

# How long an answer stays for those who ask again.
REPLY_SECONDS = 60
PUBLISH_TIMEOUT_SECONDS = 1.0
# How much later than promised a Redis may say that there is no answer.
LATE_SECONDS = 0.5


class ReplyChannel:
    """One list of one answer for each run that somebody waits for. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Asks through the process's client."""
        self._client, self._keys = client, keys

    async def publish(self, execution_id: str, text: str) -> None:
        """Leaves the answer; the first one stands."""
        key = self._keys.answer(execution_id)
        async with in_time(PUBLISH_TIMEOUT_SECONDS):
            await self._client.eval(_PUBLISH, 1, key, text, REPLY_SECONDS)

    async def wait(self, execution_id: str, seconds: float) -> str | None:
        """The answer, waited for this long; `None` when none came."""
        key = self._keys.answer(execution_id)
        async with in_time(seconds + LATE_SECONDS):
            # From the list's one end to its other: each that waits gets it, and it stays.
            text: Any = await self._client.blmove(key, key, seconds, "LEFT", "RIGHT")  # type: ignore[arg-type]  # fractions are taken
        found: str | None = text
        return found


_PUBLISH = """
if redis.call("EXISTS", KEYS[1]) == 0 then redis.call("RPUSH", KEYS[1], ARGV[1]) end
redis.call("EXPIRE", KEYS[1], ARGV[2])
"""
