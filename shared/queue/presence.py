"""Which drains are live, so that whoever adds a job knows whether one must be woken."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys
from shared.queue.scripts import ScriptRunner

# How long an invoked drain may take until it announces itself; after that, the next job invokes another.
WAKING_SECONDS = 3.0


class Presence:
    """The announcements of drains. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, scripts: ScriptRunner, keys: OwnKeys) -> None:
        """Uses the queue's client and its script `announce`."""
        self._client = client
        self._scripts = scripts
        self._keys = keys

    async def announce(self, drain_id: str, ttl_seconds: float) -> int:
        """How many drains are live, this one included; it counts for `ttl_seconds` unless announced again."""
        async with in_time():
            live: int = await self._announce(drain_id, max(1, int(ttl_seconds * 1000)))
            await self._client.delete(self._keys.waking)
        return live

    async def withdraw(self, drain_id: str) -> None:
        """Says that this drain takes no more jobs. It must look at the queue once more afterwards: a job that was
        added while it still counted has woken nobody."""
        async with in_time():
            await self._announce(drain_id, 0)

    async def live_drains(self) -> int:
        """How many drains are live."""
        async with in_time():
            live: int = await self._announce("", 0)
        return live

    async def claim_waking(self) -> bool:
        """Whether the caller is the one to invoke a drain; all others may trust that it is being done."""
        async with in_time():
            return bool(await self._client.set(self._keys.waking, "1", nx=True, px=int(WAKING_SECONDS * 1000)))

    async def _announce(self, drain_id: str, milliseconds: int) -> int:
        live: int = await self._scripts.call("announce", [self._keys.drains], [drain_id, milliseconds])
        return live
