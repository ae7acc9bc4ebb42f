"""A drain's slots, and the runs that need none because they wait for a server outside.

A drain works on as many runs at once as it has slots. A run that waits for a slow host, or for its turn at something
shared (expressions, large values, large graphs), does nothing: after a moment it is set aside, and another run takes
its slot. A tenant has a share of what may be set aside (as in `shared.platform.bulkhead`). Its waiting runs beyond that
keep their slots ("stuck"), at most half of all while the drain has work of other tenants: then further jobs of that
tenant are delayed, and come back one after another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# After how long a run that waits outside is set aside.
PATIENCE_SECONDS = 0.2
MAX_ASIDE, ASIDE_OF_A_TENANT = 128, 64
# Of runs that wait for memory, each of which holds the body that it begins with, some megabytes.
LARGE_ASIDE_OF_A_TENANT = 16
# For how long another tenant counts as having work for this drain after one of its jobs was claimed.
OTHERS_SECONDS = 10.0
# A delayed job comes back after this at the earliest, and so many of a tenant's in a second.
PUT_OFF_SECONDS = 1.0
BACK_PER_SECOND = 100.0
# Fewer, where they are large: each is parsed when it is claimed again.
BACK_BYTES_PER_SECOND = 4_194_304.0


class Slots:
    """One drain's slots; belongs to one event loop."""

    def __init__(self, slots: int) -> None:
        """`slots` is how many runs are worked on at once."""
        self.total = slots
        self.at_work = 0
        # Set when a slot has become free; a waiter clears it before it waits.
        self.freed = asyncio.Event()
        # By tenant, how many of its runs are set aside.
        self._aside: dict[str, int] = {}
        self._aside_in_all = 0
        # By tenant, how many of its runs wait outside and keep their slots, because its share is set aside already.
        self._stuck: dict[str, int] = {}
        # By tenant, when the job that was delayed last comes back.
        self._back_at: dict[str, float] = {}
        # The tenant of the job that was claimed last, and of the last one of another tenant, with the time of each.
        self._latest = self._latest_other = ("", float("-inf"))

    @property
    def free(self) -> int:
        """How many more runs may begin; 0 too where runs that were set aside have come back to full slots."""
        return max(0, self.total - self.at_work)

    async def one_free(self) -> None:
        """Returns when a slot is free."""
        while not self.free:
            self.freed.clear()
            await self.freed.wait()

    def take(self) -> None:
        """Takes a slot, whether one is free or not."""
        self.at_work += 1

    def give_back(self) -> None:
        """Gives it back."""
        self.at_work -= 1
        self.freed.set()

    @contextmanager
    def run_of(self, tenant_id: str) -> Iterator[None]:
        """A block that works on a run of the tenant's, in a slot: `waiting_outside` in it may set the run aside."""
        run = _Run(self, tenant_id)
        token = _run.set(run)
        try:
            yield
        finally:
            _run.reset(token)
            run.close()

    def pause_of(self, tenant_id: str, size_bytes: int = 0) -> float:
        """By how many seconds a job of the tenant's that was just claimed, with a delivery of this size, is to be
        delayed; 0 if it may run."""
        now = time.monotonic()
        if tenant_id != self._latest[0]:
            self._latest_other = self._latest
        self._latest = (tenant_id, now)
        has_others = now - self._latest_other[1] < OTHERS_SECONDS
        is_at_its_share = tenant_id in self._stuck or (tenant_id in self._aside and not self._may(tenant_id))
        if not has_others or self.at_work <= self.total / 2 or not is_at_its_share:
            return 0.0
        # Behind the tenant's job that was delayed before it, by as long as one of this size takes.
        interval = max(1 / BACK_PER_SECOND, size_bytes / BACK_BYTES_PER_SECOND)
        back_at = max(now + PUT_OFF_SECONDS, self._back_at.get(tenant_id, 0.0) + interval)
        self._back_at[tenant_id] = back_at
        return back_at - now

    def _may(self, tenant_id: str, most: int = ASIDE_OF_A_TENANT) -> bool:
        return self._aside.get(tenant_id, 0) < min(most, MAX_ASIDE - self._aside_in_all)

    def set_aside(self, tenant_id: str, most: int = ASIDE_OF_A_TENANT) -> bool:
        """Whether a run of the tenant's has given its slot back; not where `most` of the tenant's are aside already."""
        if not self._may(tenant_id, most):
            return False
        self._aside[tenant_id] = self._aside.get(tenant_id, 0) + 1
        self._aside_in_all += 1
        self.give_back()
        return True

    def come_back(self, tenant_id: str) -> None:
        """Takes a slot for a run that was set aside and goes on, whether one is free or not."""
        self.take()
        self._aside_in_all -= 1
        self._aside[tenant_id] -= 1
        if not self._aside[tenant_id]:
            del self._aside[tenant_id]
            self._back_at.pop(tenant_id, None)

    def count_stuck(self, tenant_id: str, runs: int) -> None:
        """Adds to how many of the tenant's runs wait outside in their slots; `runs` may be negative."""
        self._stuck[tenant_id] = self._stuck.get(tenant_id, 0) + runs
        if not self._stuck[tenant_id]:
            del self._stuck[tenant_id]


class _Run:
    """One run at work: whether it waits outside, and whether it is set aside, or stuck in its slot meanwhile."""

    def __init__(self, slots: Slots, tenant_id: str) -> None:
        self._slots, self._tenant_id = slots, tenant_id
        self._waits, self._since = 0, 0.0
        self._most = ASIDE_OF_A_TENANT
        self._is_aside = self._is_stuck = False
        # One timer for all waits, which outlives each: a run may have thousands of short ones.
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def begin(self, most: int) -> None:
        # Waits nest and overlap: the run waits from the first to begin until the last has ended.
        self._waits += 1
        if self._waits == 1:
            self._most, self._since = most, self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(PATIENCE_SECONDS, self._on_timer)

    def end(self) -> None:
        self._waits -= 1
        if not self._waits:
            self._come_back()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._come_back()

    def _on_timer(self) -> None:
        self._timer = None
        if not self._waits:
            return
        left = self._since + PATIENCE_SECONDS - self._loop.time()
        if left <= 0:
            self._is_aside = self._slots.set_aside(self._tenant_id, self._most)
            self._set_stuck(not self._is_aside)
        if not self._is_aside:
            # Not long enough yet, or the share is used up: another look, for room may come.
            self._timer = self._loop.call_later(left if left > 0 else PATIENCE_SECONDS, self._on_timer)

    def _come_back(self) -> None:
        self._set_stuck(False)
        if self._is_aside:
            self._is_aside = False
            self._slots.come_back(self._tenant_id)

    def _set_stuck(self, is_stuck: bool) -> None:
        if is_stuck != self._is_stuck:
            self._is_stuck = is_stuck
            self._slots.count_stuck(self._tenant_id, 1 if is_stuck else -1)


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


@contextmanager
def waiting_outside(most: int = ASIDE_OF_A_TENANT) -> Iterator[None]:
    """A block in which the run at work waits for a server outside, or for other runs; it may be set aside meanwhile,
    unless `most` of its tenant's are. Without a run at work, as in a function of the API, it does nothing."""
    run = _run.get()
    if run is None:
        yield
        return
    run.begin(most)
    try:
        yield
    finally:
        run.end()
