"""Long computations on a drain's event loop, one at a time, so that none of them stops the other runs for long.

A delivery of some megabytes takes a tenth of a second and more to be read. Sixteen of them that begin together would
hold everybody up for as long as all of them take; so each waits for its turn, and after each the loop is everybody
else's for as long as it took. Tenants take turns one after another, whatever each has waiting. Of one tenant's, whoever
has begun goes first: what has been read lies in memory until it is done with.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

Result = TypeVar("Result")

# What is smaller is read in a few milliseconds, and waits for nobody.
LARGE_BYTES = 262_144


class ComputeTurns:
    """Those of one event loop."""

    def __init__(self) -> None:
        self._is_taken = False
        # By tenant, in the order in which they are next.
        self._waiting: dict[str, list[tuple[bool, int, asyncio.Future[None]]]] = {}
        self._numbers = count()

    async def take(
        self, tenant_id: str, compute: Callable[[], Result], size_bytes: int, *, is_beginning: bool = False
    ) -> Result:
        """What `compute` makes of so many bytes of the tenant's; it raises what that raises. `is_beginning`: the
        tenant's others go first, for nothing is held so far."""
        if size_bytes < LARGE_BYTES:
            return compute()
        await self._turn(tenant_id, is_beginning)
        began = time.monotonic()
        try:
            return compute()
        finally:
            asyncio.get_running_loop().call_later(time.monotonic() - began, self._pass_on)

    async def _turn(self, tenant_id: str, is_beginning: bool) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting.setdefault(tenant_id, []), (is_beginning, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            tenant_id = next(iter(self._waiting))
            waiting = self._waiting.pop(tenant_id)
            *_, turn = heappop(waiting)
            if waiting:
                self._waiting[tenant_id] = waiting  # behind the other tenants
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
