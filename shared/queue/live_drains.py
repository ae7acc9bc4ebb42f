"""Which drains are live, so that whoever adds a job knows whether one must be woken."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.ids import new_id
from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys
from shared.queue.scripts import ScriptRunner

# How long an invoked drain may take until it announces itself; after that, the next job invokes another.
WAKING_SECONDS = 3.0


class LiveDrains:
    """The announcements of drains. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, scripts: ScriptRunner, keys: OwnKeys) -> None:
        """Uses the queue's client and its scripts `announce` and `claim_waking`."""
        self._client = client
        self._scripts = scripts
        self._keys = keys

    async def announce(self, drain_id: str, ttl_seconds: float, waking: str | None = None) -> int:
        """How many drains are live, this one included; it counts for `ttl_seconds` unless announced again.

        `waking` is the token of the waking that made this drain: it has come, so another may be woken.
        """
        async with in_time():
            return await self._announce(drain_id, max(1, int(ttl_seconds * 1000)), waking or "")

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

    async def claim_waking(self, max_drains: int) -> str | None:
        """The token of the waking that the caller is to carry out; `None` when it is being done, as all others may
        trust, or when `max_drains` are live."""
        token = new_id()
        arguments = [token, int(WAKING_SECONDS * 1000), max_drains]
        async with in_time():
            is_ours = await self._scripts.call("claim_waking", [self._keys.drains, self._keys.waking], arguments)
        return token if is_ours else None

    async def _announce(self, drain_id: str, milliseconds: int, waking: str = "") -> int:
        keys = [self._keys.drains, self._keys.waking]
        live: int = await self._scripts.call("announce", keys, [drain_id, milliseconds, waking])
        return live
