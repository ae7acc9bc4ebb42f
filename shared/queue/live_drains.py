"""Which drains are live: each announces itself, so that a producer knows whether one must be woken."""

from __future__ import annotations

from shared.ids import new_id
from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys
from shared.queue.scripts import ScriptRunner, own_script

# How long an invoked drain may take to announce itself; after that, the next job invokes another one.
WAKING_SECONDS = 3.0


class LiveDrains:
    """The heartbeats of drains. Every method raises `QueueUnavailableError`."""

    def __init__(self, scripts: ScriptRunner, keys: OwnKeys) -> None:
        """Calls the scripts `announce` and `claim_waking` through the process's runner."""
        self._scripts, self._keys = scripts, [keys.drains, keys.waking]

    async def announce(self, drain_id: str, ttl_seconds: float, waking: str | None = None) -> int:
        """How many drains are live, this one included; it counts for `ttl_seconds` unless announced again.

        `waking` is the token under which this drain was invoked: now that it has come, another one may be invoked.
        """
        async with in_time():
            return await self._announce(drain_id, max(1, int(ttl_seconds * 1000)), waking or "")

    async def withdraw(self, drain_id: str) -> None:
        """Removes this drain from the live ones: it claims no more jobs. It must look at the queue once more after
        this, for a job that was added while it still counted has woken no other drain."""
        async with in_time():
            await self._announce(drain_id, 0)

    async def count(self) -> int:
        """How many drains are live."""
        async with in_time():
            # No drain has the empty id: nothing is announced or withdrawn.
            live: int = await self._announce("", 0)
        return live

    async def claim_waking(self, max_drains: int) -> str | None:
        """The token under which the caller must invoke a drain; `None` when another caller is doing so, or when
        `max_drains` are live."""
        token = new_id()
        arguments = [token, int(WAKING_SECONDS * 1000), max_drains]
        async with in_time():
            is_ours = await self._scripts.call(own_script("claim_waking"), self._keys, arguments)
        return token if is_ours else None

    async def _announce(self, drain_id: str, milliseconds: int, waking: str = "") -> int:
        arguments = [drain_id, milliseconds, waking]
        live: int = await self._scripts.call(own_script("announce"), self._keys, arguments)
        return live
