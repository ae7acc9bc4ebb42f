"""Long computations on a drain's event loop, one at a time, so that none of them stops the other runs for long.

A delivery of some megabytes takes a tenth of a second and more to parse. Sixteen of them that begin together would
block the loop for as long as all of them take. So each waits for its turn, and after each the loop is free for other
work for as long as it took. Tenants take turns, however many computations each of them has waiting. Within a tenant,
runs that have begun go first: what they have parsed stays in memory until they are done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

Result = TypeVar("Result")

# Smaller ones are parsed in a few milliseconds, and take no turns.
LARGE_BYTES = 262_144


class ComputeTurns:
    """The turns of one event loop."""

    def __init__(self) -> None:
        self._is_taken = False
        # By tenant, the next one first. Each tenant's is a heap: runs that have begun come before those that have not.
        self._waiting: dict[str, list[tuple[bool, int, asyncio.Future[None]]]] = {}
        self._numbers = count()

    async def take(
        self, tenant_id: str, compute: Callable[[], Result], size_bytes: int, *, is_beginning: bool = False
    ) -> Result:
        """The result of `compute`, which is about `size_bytes` of the tenant's data; raises what it raises.
        `is_beginning`: the run holds nothing in memory so far, so the tenant's others go first."""
        if size_bytes < LARGE_BYTES:
            return compute()
        await self._turn(tenant_id, is_beginning)
        began = time.monotonic()
        try:
            return compute()
        finally:
            # Half of the loop's time at most: other work gets as long as this took.
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
                # Cancelled in the turn of the loop in which it was its turn: the next would wait for ever.
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
