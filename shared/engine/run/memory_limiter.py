"""What the runs of one drain hold together, and how long a large one waits until there is room for more of it.

A run's own budget bounds each of them; sixty-four at their bounds would be more than a drain has. The small ones never
wait. Of a tenant's large ones the first goes on, whatever others hold, so that no tenant waits for what another does
with its own; of all, the first goes on to its end in any case, so that there is always one that makes room.
"""

from __future__ import annotations

import asyncio

from shared.platform.bulkhead import Bulkhead
from shared.platform.slots import LARGE_ASIDE_OF_A_TENANT, waiting_outside

# Below this a run is none of those that are waited for.
LARGE_BYTES = 2_097_152
# As they count (`shared.repositories.payload.counted_bytes`): in a process it is four times as much at most.
DEFAULT_MAX_BYTES = 67_108_864
# Beyond so many times that, tenants wait for one another, too.
FLOOD = 3
# So many runs are read at once, for how large one is shows when it has been; of a tenant's, no more than others could
# be beside them.
MAX_READ_AT_ONCE = 5


class MemoryLimiter:
    """One drain's. Belongs to one event loop."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """`max_bytes` are what the large runs may hold together before all but the first of them wait."""
        self.held_bytes = 0
        self._max_bytes = max_bytes
        self._large: dict[MemoryShare, int] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self.reading = Bulkhead(MAX_READ_AT_ONCE, MAX_READ_AT_ONCE)

    def share(self, tenant_id: str) -> MemoryShare:
        """The share of a tenant's run, empty so far; close it when the run is not at work any more."""
        return MemoryShare(self, tenant_id)

    def is_full_for(self, share: MemoryShare, size_bytes: int) -> bool:
        """Whether this run is to wait where it holds so much."""
        held_bytes = self.held_bytes - self._large.get(share, 0) + size_bytes
        if size_bytes < LARGE_BYTES or held_bytes <= self._max_bytes or share is next(iter(self._large), share):
            return False
        if held_bytes > FLOOD * self._max_bytes:
            return True
        own = (other for other in self._large if other.tenant_id == share.tenant_id)
        return share is not next(own, share)

    def hold(self, share: MemoryShare, size_bytes: int) -> None:
        """Takes in what a run holds now: more than before, or nothing any more."""
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

    async def less(self) -> None:
        """Returns when a run has let go of what it held."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class MemoryShare:
    """What one run of a tenant's holds."""

    __slots__ = ("_memory", "tenant_id")

    def __init__(self, memory: MemoryLimiter, tenant_id: str) -> None:
        self._memory, self.tenant_id = memory, tenant_id

    def hold(self, size_bytes: int) -> None:
        """Takes in how much it is now."""
        if size_bytes >= LARGE_BYTES:
            self._memory.hold(self, size_bytes)

    @property
    def is_to_wait(self) -> bool:
        """Whether there is no room for more of this run."""
        return self._memory.is_full_for(self, self._memory.held_by(self))

    async def room(self) -> None:
        """Returns when there is room for more of this run."""
        await self._room_for(self._memory.held_by(self))

    async def take(self, size_bytes: int) -> None:
        """Returns when there is room for so much, which it holds then; meanwhile it holds what it did."""
        await self._room_for(size_bytes)
        self.hold(size_bytes)

    async def _room_for(self, size_bytes: int) -> None:
        if not self._memory.is_full_for(self, size_bytes):
            return
        # Whoever holds the room may wait for a slow server.
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):
            while self._memory.is_full_for(self, size_bytes):
                await self._memory.less()

    def takes(self, size_bytes: int) -> bool:
        """Whether there is room for so much, which it holds then."""
        if self._memory.is_full_for(self, size_bytes):
            return False
        self.hold(size_bytes)
        return True

    def close(self) -> None:
        """Lets go of it."""
        self._memory.hold(self, 0)
