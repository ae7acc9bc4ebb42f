"""A drain's places, and the runs that need none for they wait for a server outside.

A drain works on so many runs at once as it has places. A run that waits for a slow host, or for what others have begun
(expressions, large values, large graphs), does nothing: after a moment it is set aside, and its place is another's. A
tenant may have its share of what is set aside (as in `shared.platform.bulkhead`); what it has beyond that keeps its
places, half of all at most while the drain has work of other tenants: its further jobs are put off then, and come back
one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# After how long a run that waits for a server is set aside.
PATIENCE_SECONDS = 0.2
MAX_ASIDE, ASIDE_OF_A_TENANT = 128, 64
# Of those that wait for room: each holds the body that it begins with, some megabytes.
LARGE_ASIDE_OF_A_TENANT = 16
# For how long another tenant counts as having work for this drain, once it had some.
OTHERS_SECONDS = 10.0
# How soon a job that is put off comes back at the earliest, and how many of a tenant's do so in a second.
PUT_OFF_SECONDS = 1.0
BACK_PER_SECOND = 100.0
# They are claimed again, and what is in them is read: of large ones it is fewer.
BACK_BYTES_PER_SECOND = 4_194_304.0


class Slots:
    """One drain's; belongs to one event loop."""

    def __init__(self, slots: int) -> None:
        """`slots` is how many runs are worked on at once."""
        self.total = slots
        self.at_work = 0
        # Set when a place has become free: whoever waits for one clears it first.
        self.freed = asyncio.Event()
        self._aside: dict[str, int] = {}
        self._aside_in_all = 0
        # How many of a tenant's runs wait in their places, for it has its share aside.
        self._stuck: dict[str, int] = {}
        self._back_at: dict[str, float] = {}
        self._latest = self._latest_other = ("", float("-inf"))

    @property
    def free(self) -> int:
        """How many more runs may be begun; none where some have come back from aside meanwhile."""
        return max(0, self.total - self.at_work)

    async def one_free(self) -> None:
        """Returns when a place is free."""
        while not self.free:
            self.freed.clear()
            await self.freed.wait()

    def take(self) -> None:
        """Takes a place, for whatever it is that works there."""
        self.at_work += 1

    def give_back(self) -> None:
        """Gives it back."""
        self.at_work -= 1
        self.freed.set()

    @contextmanager
    def run_of(self, tenant_id: str) -> Iterator[None]:
        """A block that works on a run of the tenant's, in a place: `waiting_outside` in it can set it aside."""
        run = _Run(self, tenant_id)
        token = _run.set(run)
        try:
            yield
        finally:
            _run.reset(token)
            run.close()

    def pause_of(self, tenant_id: str, size_bytes: int = 0) -> float:
        """For how many seconds a job of the tenant's that was just claimed, with so much in it, is to be put off; 0: it
        may run."""
        now = time.monotonic()
        if tenant_id != self._latest[0]:
            self._latest_other = self._latest
        self._latest = (tenant_id, now)
        has_others = now - self._latest_other[1] < OTHERS_SECONDS
        is_at_its_share = tenant_id in self._stuck or (tenant_id in self._aside and not self._may(tenant_id))
        if not has_others or self.at_work <= self.total / 2 or not is_at_its_share:
            return 0.0
        apart = max(1 / BACK_PER_SECOND, size_bytes / BACK_BYTES_PER_SECOND)
        back_at = max(now + PUT_OFF_SECONDS, self._back_at.get(tenant_id, 0.0) + apart)
        self._back_at[tenant_id] = back_at
        return back_at - now

    def _may(self, tenant_id: str, most: int = ASIDE_OF_A_TENANT) -> bool:
        return self._aside.get(tenant_id, 0) < min(most, MAX_ASIDE - self._aside_in_all)

    def set_aside(self, tenant_id: str, most: int = ASIDE_OF_A_TENANT) -> bool:
        """Whether a run of the tenant's, of which `most` may be aside, needs no place from now on."""
        if not self._may(tenant_id, most):
            return False
        self._aside[tenant_id] = self._aside.get(tenant_id, 0) + 1
        self._aside_in_all += 1
        self.give_back()
        return True

    def come_back(self, tenant_id: str) -> None:
        """A run that was set aside goes on: it needs a place again, whether one is free or not."""
        self.take()
        self._aside_in_all -= 1
        self._aside[tenant_id] -= 1
        if not self._aside[tenant_id]:
            del self._aside[tenant_id]
            self._back_at.pop(tenant_id, None)

    def keep(self, tenant_id: str, runs: int) -> None:
        """So many more of the tenant's runs wait in their places, or fewer where the number is negative."""
        self._stuck[tenant_id] = self._stuck.get(tenant_id, 0) + runs
        if not self._stuck[tenant_id]:
            del self._stuck[tenant_id]


class _Run:
    """One run at work: how much it waits for, whether it is set aside, and whether it was to be and is not."""

    def __init__(self, slots: Slots, tenant_id: str) -> None:
        self._slots, self._tenant_id = slots, tenant_id
        self._waits, self._since = 0, 0.0
        self._most = ASIDE_OF_A_TENANT
        self._is_aside = self._is_stuck = False
        # It goes on when a wait is over: a run may have thousands of short ones.
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def begin(self, most: int) -> None:
        self._waits += 1
        if self._waits == 1:
            self._most, self._since = most, self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(PATIENCE_SECONDS, self._look)

    def end(self) -> None:
        self._waits -= 1
        if not self._waits:
            self._come_back()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._come_back()

    def _look(self) -> None:
        self._timer = None
        if not self._waits:
            return
        left = self._since + PATIENCE_SECONDS - self._loop.time()
        if left <= 0:
            self._is_aside = self._slots.set_aside(self._tenant_id, self._most)
            self._keep(not self._is_aside)
        if not self._is_aside:
            self._timer = self._loop.call_later(left if left > 0 else PATIENCE_SECONDS, self._look)

    def _come_back(self) -> None:
        self._keep(False)
        if self._is_aside:
            self._is_aside = False
            self._slots.come_back(self._tenant_id)

    def _keep(self, is_stuck: bool) -> None:
        if is_stuck != self._is_stuck:
            self._is_stuck = is_stuck
            self._slots.keep(self._tenant_id, 1 if is_stuck else -1)


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


@contextmanager
def waiting_outside(most: int = ASIDE_OF_A_TENANT) -> Iterator[None]:
    """A block that waits for a server outside, or for others' ends, on behalf of the run at work; so many of its
    tenant's may be aside when this one is to be."""
    run = _run.get()
    if run is None:
        yield
        return
    run.begin(most)
    try:
        yield
    finally:
        run.end()
