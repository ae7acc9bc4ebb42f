"""The drain: one invocation's work, from the first claim to the last handing back.

Fibers claim jobs and run them; finishing one job hands over the next in the same round trip. Beside them run the upkeep
and the sweep. The drain stops claiming early enough to finish, hands back what it cannot finish, and leaves when the
queue stays empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from shared.engine.drain_summary import Summary
from shared.engine.engine import Engine
from shared.engine.schedules import Schedules
from shared.engine.sweep import Sweep
from shared.engine.upkeep import Upkeep
from shared.engine.worker import Worker
from shared.errors import QueueUnavailableError
from shared.ids import new_id
from shared.queue.execution_queue import ExecutionQueue
from shared.queue.wake import wake_drain
from shared.repositories.executions import ExecutionRepository
from shared.runtime import stop
from shared.settings import Settings

logger = logging.getLogger(__name__)

# How long before the end of its time the drain claims nothing new, at most: a quarter of a short time.
RESERVE_SECONDS = 30.0
# What is still running this long before the end is handed back.
HAND_BACK_SECONDS = 1.5
# An idle drain waits for a job in turns this long, so that it notices the end of its time.
IDLE_TURN_SECONDS = 1.0
# So many claims share a round trip at most.
MAX_CLAIMS = 16
UNAVAILABLE_PAUSE_SECONDS = 0.2


class Drain:
    """One invocation. Belongs to one event loop."""

    def __init__(
        self,
        queue: ExecutionQueue,
        executions: ExecutionRepository,
        schedules: Schedules,
        engine: Engine,
        settings: Settings,
        name: str,
        remaining_seconds: Callable[[], float],
    ) -> None:
        """`remaining_seconds` is how much of the invocation's time is left; `name` is this drain's alone."""
        self._queue, self._settings, self._name, self._remaining = queue, settings, name, remaining_seconds
        self._reserve = min(RESERVE_SECONDS, remaining_seconds() / 4)
        self._fibers: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._claims = 1
        self.summary = Summary()
        self._worker = Worker(queue, engine, self._takes_more, self.summary)
        self._upkeep = Upkeep(queue, settings, name, self._worker.active, self._is_time_short)
        self._sweep = Sweep(queue, executions, schedules, engine, settings.lease_seconds, self._start, self.summary)

    async def run(self) -> Summary:
        """What was done, once the queue has stayed empty for a moment or the time is nearly spent."""
        upkeep = self._upkeep
        kept = (upkeep.keep_locks(), upkeep.keep_recovering(), self._sweep.keep(), upkeep.keep_pace())
        keepers = [asyncio.create_task(keep) for keep in kept]
        try:
            while True:
                await self._claim_until_idle()
                if self._is_time_short() or await self._is_done():
                    break
        finally:
            self._stopping = True
            await stop(keepers)
            await self._finish()
        return self.summary

    # -- claiming ----------------------------------------------------------------------------------------------------

    async def _claim_until_idle(self) -> None:
        """Returns when no job has come for the linger time and none is running, or when time is short."""
        idle_since = time.monotonic()
        while not self._is_time_short():
            if len(self._fibers) >= self._settings.drain_concurrency:
                await asyncio.wait(self._fibers, timeout=IDLE_TURN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                found = await self._claim()
                if not found:
                    await self._queue.wait_for_job(min(IDLE_TURN_SECONDS, self._settings.drain_linger_seconds))
            except QueueUnavailableError:
                # Redis is a hint: what has started is found by the sweep meanwhile.
                found = False
                await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)
            if found or self._fibers:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= self._settings.drain_linger_seconds:
                return

    async def _claim(self) -> bool:
        """Whether any job was there: a fiber is started for each that was.

        Claims share a round trip, yet each costs Redis a script: as long as all are answered their number doubles.
        """
        free = self._settings.drain_concurrency - len(self._fibers)
        claimed = await asyncio.gather(*(self._queue.claim(new_id()) for _ in range(min(free, self._claims))))
        found = [job for job in claimed if job is not None]
        self._claims = min(self._claims * 2, MAX_CLAIMS) if len(found) == len(claimed) else 1
        for job in found:
            self._start(self._worker.work(job))
        return bool(found)

    async def _is_done(self) -> bool:
        """Whether the drain may leave: it withdraws, then looks once more, for a job added meanwhile woke nobody."""
        try:
            counts = await self._queue.counts()
            if counts["active"] and await self._queue.live_drains() <= 1:
                # A dead drain's jobs: they come back when their locks have expired.
                return False
            await self._queue.withdraw(self._name)
            if not await self._claim():
                return True
            await self._upkeep.announce()
        except QueueUnavailableError:
            return True
        return False

    @property
    def places_used(self) -> float:
        """The share of its places that are at work now."""
        return len(self._fibers) / self._settings.drain_concurrency

    def _is_time_short(self) -> bool:
        return self._remaining() <= self._reserve

    def _takes_more(self) -> bool:
        return not self._stopping and not self._is_time_short()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._fibers.add(task)
        task.add_done_callback(self._fibers.discard)

    # -- leaving -----------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Lets running jobs end while there is time, hands the rest back, and wakes a successor if any is left."""
        if self._fibers:
            await asyncio.wait(self._fibers, timeout=max(0.0, self._remaining() - HAND_BACK_SECONDS))
        left = list(self._worker.active.values())
        await stop(self._fibers)
        try:
            await self._queue.withdraw(self._name)
            for claimed in left:
                await self._queue.hand_back(claimed)
            self.summary.handed_back = len(left)
            counts = await self._queue.counts()
            if counts["wait"] and not await self._queue.live_drains():
                await wake_drain(self._queue)
        except QueueUnavailableError:
            logger.warning("queue_unavailable")
