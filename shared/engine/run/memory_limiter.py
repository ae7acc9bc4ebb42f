"""Limits the memory that the runs of one drain hold together: large ones wait until there is room for more.

A run's budget bounds each of them, but sixty-four runs at their bounds would take more than a drain has. Small runs
never wait. The first large run of each tenant goes on whatever other tenants' runs hold, so that no tenant waits for
another, up to a limit (`FLOOD`). The first of all goes on in any case, so that one always ends and makes room.
"""

from __future__ import annotations

import asyncio

from shared.platform.bulkhead import Bulkhead
from shared.platform.slots import LARGE_ASIDE_OF_A_TENANT, waiting_outside

# A run that holds less than this is not counted.
LARGE_BYTES = 2_097_152
# As counted by `shared.repositories.payload.counted_bytes`; in the process it is four times as much at most.
DEFAULT_MAX_BYTES = 67_108_864
# Beyond this multiple of the limit, tenants wait for one another, too.
FLOOD = 3
# How many runs are read at once: how large one is shows only when it has been read. A tenant may have as many of these
# places as are free beside them.
MAX_READ_AT_ONCE = 5


class MemoryLimiter:
    """One drain's limiter. Belongs to one event loop."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Beyond `max_bytes` together, all large runs but the first of each tenant wait."""
        self.held_bytes = 0
        self._max_bytes = max_bytes
        # By share, the first to grow large first, what large runs hold.
        self._large: dict[MemoryShare, int] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self.reading = Bulkhead(MAX_READ_AT_ONCE, MAX_READ_AT_ONCE)

    def share(self, tenant_id: str) -> MemoryShare:
        """The share of a tenant's run, empty so far; to be closed when the run is no longer worked on."""
        return MemoryShare(self, tenant_id)

    def is_full_for(self, share: MemoryShare, size_bytes: int) -> bool:
        """Whether this run must wait before it may hold so much."""
        held_bytes = self.held_bytes - self._large.get(share, 0) + size_bytes
        if size_bytes < LARGE_BYTES or held_bytes <= self._max_bytes or share is next(iter(self._large), share):
            return False
        if held_bytes > FLOOD * self._max_bytes:
            return True
        own = (other for other in self._large if other.tenant_id == share.tenant_id)
        return share is not next(own, share)

    def hold(self, share: MemoryShare, size_bytes: int) -> None:
        """Takes in what a run holds now, and wakes those that wait if it is less than before."""
        before = self._large.pop(share, 0) if size_bytes == 0 else self._large.get(share, 0)
        if size_bytes >= LARGE_BYTES:
            self._large[share] = size_bytes
        else:
            size_bytes = 0
        self.held_bytes += size_bytes - before
        if size_bytes < before:
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def held_by(self, share: MemoryShare) -> int:
        """What a large run holds; 0 for a small one."""
        return self._large.get(share, 0)

    async def released(self) -> None:
        """Returns when any run holds less than before."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class MemoryShare:
    """What one run of a tenant holds."""

    __slots__ = ("_memory", "tenant_id")

    def __init__(self, memory: MemoryLimiter, tenant_id: str) -> None:
        self._memory, self.tenant_id = memory, tenant_id

    def hold(self, size_bytes: int) -> None:
        """Takes in how much the run holds now, whether there is room for it or not."""
        if size_bytes >= LARGE_BYTES:
            self._memory.hold(self, size_bytes)

    @property
    def is_to_wait(self) -> bool:
        """Whether the run must wait before it may grow."""
        return self._memory.is_full_for(self, self._memory.held_by(self))

    async def room(self) -> None:
        """Returns when the run may grow."""
        await self._room_for(self._memory.held_by(self))

    async def take(self, size_bytes: int) -> None:
        """Returns when there is room for so much, which the run holds then. Meanwhile it holds what it held before."""
        await self._room_for(size_bytes)
        self.hold(size_bytes)

    async def _room_for(self, size_bytes: int) -> None:
        if not self._memory.is_full_for(self, size_bytes):
            return
        # It may take long: the runs that hold the memory may wait for a slow server.
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):
            while self._memory.is_full_for(self, size_bytes):
                await self._memory.released()

    def takes(self, size_bytes: int) -> bool:
        """Whether there is room for so much; if so, the run holds it."""
        if self._memory.is_full_for(self, size_bytes):
            return False
        self.hold(size_bytes)
        return True

    def close(self) -> None:
        """Holds nothing any more."""
        self._memory.hold(self, 0)
