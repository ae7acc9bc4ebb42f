"""The drain: one invocation's work, from the first claim to the last handing back.

Fibers claim jobs and run them; finishing one job hands over the next in the same round trip. Beside them run the upkeep
and the sweep. The drain leaves when the queue stays empty, when its time is nearly spent, or when one of its keepers
has died: first nothing new is claimed, swept or started; then running jobs are waited for, and what is left is handed
back. Locks are renewed until the last job is done or handed back, or another drain would take it for a dead one's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress

from shared.engine.drain.background_tasks import BackgroundTasks
from shared.engine.drain.lock_keeper import LockKeeper, Progress
from shared.engine.drain.schedules import Schedules
from shared.engine.drain.sweep import Sweep
from shared.engine.drain.worker import Summary, Worker
from shared.engine.run.executor import RunExecutor
from shared.errors import KeeperDiedError, QueueUnavailableError
from shared.ids import new_id
from shared.platform.deadline import within
from shared.platform.runtime import STOP_SECONDS, stop
from shared.platform.slots import Slots
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob
from shared.queue.wake import wake_drain
from shared.repositories.executions import ExecutionRepository
from shared.settings import Settings

logger = logging.getLogger(__name__)

# How long before the end of its time the drain claims nothing new, at most: a quarter of a short time.
RESERVE_SECONDS = 30.0
# What is still running this long before the end is handed back.
HAND_BACK_SECONDS = 1.5
MIN_HAND_BACK_SECONDS = 0.3
# An idle drain waits for a job in turns this long, so that it notices the end of its time.
IDLE_TURN_SECONDS = 1.0
# In how many locks' time a dead drain's jobs are back: a lock runs out, one look marks them, the next brings them back.
RECOVERY_LOCKS = 4
# So many claims share a round trip at most.
MAX_CLAIMS = 16
UNAVAILABLE_PAUSE_SECONDS = 0.2
ERROR_PAUSE_SECONDS = 1.0


class Drain:
    """One invocation. Belongs to one event loop."""

    def __init__(
        self,
        queue: JobConsumer,
        executions: ExecutionRepository,
        schedules: Schedules,
        engine: RunExecutor,
        settings: Settings,
        name: str,
        remaining_seconds: Callable[[], float],
        waking: str | None = None,
    ) -> None:
        """`remaining_seconds` is how much of the invocation's time is left; `name` is this drain's alone; `waking` is
        the token that whoever invoked it has left in the queue."""
        self._queue, self._settings, self._name, self._remaining = queue, settings, name, remaining_seconds
        self._reserve = min(RESERVE_SECONDS, remaining_seconds() / 4)
        self._fibers: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._dead_keeper: str | None = None
        self._claims = 1
        # Until when an idle drain waits for jobs that somebody else has.
        self._waits_until: float | None = None
        self.summary = Summary()
        self._slots = Slots(settings.drain_concurrency)
        self._worker = Worker(queue, engine, self._takes_more, self.summary, self._slots)
        self._lock_keeper = LockKeeper(
            queue, settings, name, self._worker.active, self._is_leaving, self._progress, waking
        )
        self._sweep = Sweep(
            queue, executions, schedules, engine, settings.lease_seconds, self._start, self.summary, self._slots
        )

    async def run(self) -> Summary:
        """What was done, once the queue has stayed empty for a moment or the time is nearly spent.

        Nothing, where there are `MAX_DRAINS` already. Raises `KeeperDiedError` when it has had to leave before its
        time, with everything handed back.
        """
        if await self._is_one_too_many():
            return self.summary
        seekers, holders = BackgroundTasks(self.leave), BackgroundTasks(self.leave)
        holders.start("locks", self._lock_keeper.keep_locks())
        seekers.start("recovery", self._lock_keeper.keep_recovering())
        seekers.start("sweep", self._sweep.run_forever())
        seekers.start("pace", self._lock_keeper.keep_scaling())
        try:
            while True:
                await self._claim_until_idle()
                if self._is_leaving() or await self._is_done():
                    break
        finally:
            self._stopping = True
            try:
                await seekers.stop()
                await self._finish()
            finally:
                await holders.stop()
        if self._dead_keeper is not None:
            raise KeeperDiedError(f"The drain's keeper {self._dead_keeper!r} ended before the drain did.")
        return self.summary

    async def _is_one_too_many(self) -> bool:
        """Whether there are as many drains as there may be without this one: its schedule does not count them, and
        wakings may cross. Then it has withdrawn."""
        try:
            if await self._lock_keeper.announce() <= self._settings.max_drains:
                return False
            await self._queue.withdraw(self._name)
        except QueueUnavailableError:
            return False
        logger.info("enough_drains", extra={"max_drains": self._settings.max_drains})
        return True

    def leave(self, dead_keeper: str) -> None:
        """Lets `run` come to its end early, for what `dead_keeper` did is not done any more."""
        self._dead_keeper = dead_keeper

    # -- claiming ----------------------------------------------------------------------------------------------------

    async def _claim_until_idle(self) -> None:
        """Returns when no job has come for the linger time and none is running, or when time is short."""
        idle_since = time.monotonic()
        while not self._is_leaving():
            if not self._slots.free:
                await self._wait_for_a_slot()
                continue
            try:
                found = await self._claim()
                if not found:
                    await self._queue.wait_for_job(min(IDLE_TURN_SECONDS, self._settings.drain_linger_seconds))
            except QueueUnavailableError:
                # Redis is not the source of truth: what has started is found by the sweep meanwhile.
                found = False
                await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)
            except Exception:  # the edge: what is running goes on, and the next claim may fare better
                logger.exception("claim_error")
                found = False
                await asyncio.sleep(ERROR_PAUSE_SECONDS)
            if found or self._fibers:
                idle_since, self._waits_until = time.monotonic(), None
            elif time.monotonic() - idle_since >= self._settings.drain_linger_seconds:
                return

    async def _claim(self) -> bool:
        """Whether any job was there: a fiber is started for each that was.

        Claims share a round trip, yet each costs Redis a script: as long as all are answered their number doubles.
        """
        claims = (self._queue.claim(new_id()) for _ in range(min(self._slots.free, self._claims)))
        claimed = await asyncio.gather(*claims, return_exceptions=True)
        found = [job for job in claimed if isinstance(job, ClaimedJob)]
        self._claims = min(self._claims * 2, MAX_CLAIMS) if len(found) == len(claimed) else 1
        # What the others have claimed is worked on before the failure of one is looked at.
        for job in found:
            self._start(self._worker.work(job))
        for failure in claimed:
            if isinstance(failure, BaseException):
                raise failure
        return bool(found)

    async def _wait_for_a_slot(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_TURN_SECONDS):
                await self._slots.one_free()

    async def _is_done(self) -> bool:
        """Whether the drain may leave: it withdraws, then looks once more, for a job added meanwhile woke nobody."""
        try:
            if await self._waits_for_others():
                return False
            await self._queue.withdraw(self._name)
            if not await self._claim():
                return True
            await self._lock_keeper.announce()
        except QueueUnavailableError:
            return True
        except Exception:  # the edge: what another claim may have found is waited for
            logger.exception("claim_error")
            return True
        return False

    async def _waits_for_others(self) -> bool:
        """Whether jobs of dead drains are to come back, as they do when their locks have expired.

        What is still active after that has somebody who renews its lock: another client of the queue, perhaps, for
        whom no drain waits.
        """
        if not (await self._queue.counts())["active"] or await self._queue.live_drains() > 1:
            return False
        if self._waits_until is None:
            self._waits_until = time.monotonic() + RECOVERY_LOCKS * self._settings.lock_seconds
        return time.monotonic() < self._waits_until

    @property
    def slots_used(self) -> float:
        """The share of its places that are at work now."""
        return min(1.0, self._slots.at_work / self._slots.total)

    def _progress(self) -> Progress:
        done = self.summary.completed + self.summary.delayed + self.summary.failed
        return done, self._worker.unavailable, self.slots_used

    def _is_leaving(self) -> bool:
        return self._stopping or self._dead_keeper is not None or self._remaining() <= self._reserve

    def _takes_more(self) -> bool:
        # More may be at work than there are places, when what was set aside goes on.
        return not self._is_leaving() and self._slots.at_work <= self._slots.total

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._fibers.add(task)
        self._slots.take()
        task.add_done_callback(self._ended)

    def _ended(self, fiber: asyncio.Task[None]) -> None:
        self._fibers.discard(fiber)
        self._slots.give_back()

    # -- leaving -----------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Lets running jobs end while there is time, hands the rest back, and wakes a successor if any is left."""
        if self._fibers:
            # While this drain counts as live, nobody wakes another for what comes in meanwhile.
            with within(max(MIN_HAND_BACK_SECONDS, self._patience() / 3)):
                await self._pass_on()
        if self._fibers:  # all may have ended meanwhile
            await asyncio.wait(self._fibers, timeout=max(0.0, self._patience()))
        # Whatever hangs now, the invocation ends by itself: one that is ended for it has handed nothing back.
        left = max(MIN_HAND_BACK_SECONDS, self._remaining() - MIN_HAND_BACK_SECONDS)
        await stop(self._fibers, min(left / 2, STOP_SECONDS))
        with within(left / 2):
            await asyncio.gather(*(self._hand_back(claimed) for claimed in list(self._worker.active.values())))
            await self._pass_on()

    def _patience(self) -> float:
        patience = self._remaining() - HAND_BACK_SECONDS
        # Without a keeper, what is running may be nobody's soon: the locks' next renewal, for one, is in doubt.
        return patience if self._dead_keeper is None else min(patience, self._settings.lock_seconds / 3)

    async def _hand_back(self, claimed: ClaimedJob) -> None:
        try:
            await self._queue.hand_back(claimed)
        except QueueUnavailableError:
            logger.warning("queue_unavailable")
        except Exception:  # the edge: the others are handed back all the same; this one's lock expires
            logger.exception("job_not_handed_back", extra={"job_id": claimed.id})
        # What did not end when it was told to may have done so by now.
        self._worker.active.pop(claimed.token, None)
        self.summary.handed_back += 1

    async def _pass_on(self) -> None:
        """Withdraws, and wakes another drain when jobs wait and none is live."""
        try:
            await self._queue.withdraw(self._name)
            if (await self._queue.counts())["wait"] and not await self._queue.live_drains():
                await wake_drain(self._queue)
        except QueueUnavailableError:
            logger.warning("queue_unavailable")
        except Exception:  # the edge: the schedule wakes a drain within a minute
            logger.exception("not_passed_on")
