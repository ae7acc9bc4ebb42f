"""Replies on their way from the drain that produced one to the process whose client waits for it.

Redis is not the source of truth: the event store has every answer, and a waiting process looks there too."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys

# How long a reply stays for clients that ask again.
REPLY_SECONDS = 60
PUBLISH_TIMEOUT_SECONDS = 1.0
# How much later than the time-out Redis may answer that there is no reply.
LATE_SECONDS = 0.5


class ReplyChannel:
    """A list of one reply for each run that a client waits for. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Asks through the process's client."""
        self._client, self._keys = client, keys

    async def publish(self, execution_id: str, text: str) -> None:
        """Publishes the reply; where there is one already, that stays."""
        key = self._keys.answer(execution_id)
        async with in_time(PUBLISH_TIMEOUT_SECONDS):
            await self._client.eval(_PUBLISH, 1, key, text, REPLY_SECONDS)

    async def wait(self, execution_id: str, seconds: float) -> str | None:
        """The reply, as soon as there is one; `None` when none has come within so many seconds."""
        key = self._keys.answer(execution_id)
        async with in_time(seconds + LATE_SECONDS):
            # Moved from the list's one end to its other: every waiting client gets it, and it stays.
            text: Any = await self._client.blmove(key, key, seconds, "LEFT", "RIGHT")  # type: ignore[arg-type]  # fractions are taken
        found: str | None = text
        return found


_PUBLISH = """
if redis.call("EXISTS", KEYS[1]) == 0 then redis.call("RPUSH", KEYS[1], ARGV[1]) end
redis.call("EXPIRE", KEYS[1], ARGV[2])
"""
