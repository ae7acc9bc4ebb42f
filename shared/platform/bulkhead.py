"""A limited number of places that tenants share so that neither one of them nor a few together take them all.

    places = Bulkhead(256, share=64)
    async with places.place(tenant_id):
        …                                       # the connection is the tenant's until here

    threads = BulkheadThreads(32, share=8, name="aws")
    await threads.run(tenant_id, call)          # a call that is no longer awaited keeps its place until it is done

The pattern: https://learn.microsoft.com/en-us/azure/architecture/patterns/bulkhead. A tenant may hold at most as many
places as are free besides its own: the dynamic threshold of shared buffers (Choudhury and Hahne, 1998).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

T = TypeVar("T")


class Bulkhead:
    """A number of places; belongs to one event loop. Waiters of one tenant are served in the order in which they came;
    of several tenants the one that holds the fewest places is next, and among equals they take turns."""

    def __init__(self, places: int, share: int) -> None:
        """A tenant holds at most `share` of the places, and no more than are free besides."""
        self._free, self._share = places, share
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, tenant_id: str) -> AsyncIterator[None]:
        """The block holds one of the tenant's places; entering it waits for one without a time limit."""
        await self.acquire(tenant_id)
        try:
            yield
        finally:
            self.release(tenant_id)

    async def acquire(self, tenant_id: str) -> None:
        """Returns with a place, which is held until `release`."""
        if tenant_id not in self._waiting and self._may(tenant_id):
            self._take(tenant_id)
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(tenant_id, place)
            else:  # cancelled in the turn in which it got the place, which nobody would give back
                self.release(tenant_id)
            raise

    def release(self, tenant_id: str) -> None:
        """Gives a place back, and the places that are free now to those who wait for them."""
        self._free += 1
        self._held[tenant_id] -= 1
        if not self._held[tenant_id]:
            del self._held[tenant_id]
        while (following := self._next()) is not None:
            place = self._waiting[following][0]
            self._forget(following, place)
            if not place.cancelled():
                self._take(following)
                if following in self._waiting:
                    # To the end of the dict: behind the other tenants that hold as many.
                    self._waiting[following] = self._waiting.pop(following)
                place.set_result(None)

    def _may(self, tenant_id: str) -> bool:
        return self._held.get(tenant_id, 0) < min(self._share, self._free)

    def _take(self, tenant_id: str) -> None:
        self._free -= 1
        self._held[tenant_id] = self._held.get(tenant_id, 0) + 1

    def _next(self) -> str | None:
        able = [tenant_id for tenant_id in self._waiting if self._may(tenant_id)]
        return min(able, key=lambda tenant_id: self._held.get(tenant_id, 0), default=None)

    def _forget(self, tenant_id: str, place: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(tenant_id, deque())
        if place in waiting:
            waiting.remove(place)
            if not waiting:
                del self._waiting[tenant_id]


class BulkheadThreads:
    """Threads for blocking calls, one for each place of a bulkhead."""

    def __init__(self, places: int, share: int, name: str) -> None:
        """The threads are named after `name`, and started when they are needed."""
        self._places = Bulkhead(places, share)
        self._executor = ThreadPoolExecutor(places, thread_name_prefix=name)

    async def acquire(self, tenant_id: str) -> None:
        """Returns with a thread reserved, for the call of `start` that must follow at once."""
        await self._places.acquire(tenant_id)

    def start(self, tenant_id: str, work: Callable[[], T]) -> asyncio.Future[T]:
        """The result of `work`. A thread cannot be stopped: it keeps its place until it is done, awaited or not."""
        loop = asyncio.get_running_loop()

        def give_back(_done: Future[T]) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a place any more
                loop.call_soon_threadsafe(self._places.release, tenant_id)

        future = self._executor.submit(work)
        future.add_done_callback(give_back)
        return asyncio.wrap_future(future)

    async def run(self, tenant_id: str, work: Callable[[], T]) -> T:
        """The result of `work`, which starts when a place is free for it."""
        await self.acquire(tenant_id)
        return await self.start(tenant_id, work)
