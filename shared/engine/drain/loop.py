"""The drain: one invocation's work, from the first claim to the last hand-back.

Its life, in order:

1. It announces itself. Where there are `MAX_DRAINS` already, it ends at once.
2. Fibers (tasks) claim jobs and run them, one job per slot; completing a job claims the next in the same round trip.
   Beside them run background tasks: lock renewal, recovery, the sweep, the autoscaler.
3. It leaves when the queue stays empty, when its time is nearly spent, or when a background task has died. Then nothing
   new is claimed, swept or started.
4. It waits for running jobs while there is time, cancels the rest and hands them back, and wakes a successor if any
   job waits. Locks are renewed until here, or another drain would take running jobs for a dead drain's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress

from shared.engine.drain.background_tasks import BackgroundTasks
from shared.engine.drain.lock_keeper import LockKeeper
from shared.engine.drain.schedules import Schedules
from shared.engine.drain.sweep import Sweep
from shared.engine.drain.worker import Progress, Summary, Worker
from shared.engine.run.executor import RunExecutor
from shared.errors import KeeperDiedError, QueueUnavailableError
from shared.ids import new_id
from shared.platform.deadline import within
from shared.platform.runtime import STOP_SECONDS, stop
from shared.platform.slots import Slots
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob
from shared.queue.live_drains import LiveDrains
from shared.queue.producer import JobProducer
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
# After how many lock times a dead drain's jobs are back: a lock expires, one look marks them, the next recovers them.
RECOVERY_LOCKS = 4
# At most so many claims share a round trip.
MAX_CLAIMS = 16
UNAVAILABLE_PAUSE_SECONDS = 0.2
ERROR_PAUSE_SECONDS = 1.0
# When the autoscaler is started: its module is imported then, and the first jobs do not wait for that.
AUTOSCALER_START_SECONDS = 1.0


class Drain:
    """One invocation. Belongs to one event loop."""

    def __init__(
        self,
        consumer: JobConsumer,
        producer: JobProducer,
        live_drains: LiveDrains,
        executions: ExecutionRepository,
        schedules: Schedules,
        engine: RunExecutor,
        settings: Settings,
        name: str,
        remaining_seconds: Callable[[], float],
        waking: str | None = None,
    ) -> None:
        """`remaining_seconds` is how much of the invocation's time is left; `name` is unique to this drain; `waking` is
        the token that the process which invoked it has left in the queue."""
        self._consumer, self._live_drains = consumer, live_drains
        self._settings, self._name, self._remaining = settings, name, remaining_seconds
        self._reserve = min(RESERVE_SECONDS, remaining_seconds() / 4)
        # One task per job at work, or per run that the sweep runs here; each holds a slot.
        self._fibers: set[asyncio.Task[None]] = set()
        self._stopping = False
        # The name of the background task whose end makes this drain leave early.
        self._dead_task: str | None = None
        # How many claims share the next round trip.
        self._claims = 1
        # Until when an idle drain waits for the jobs of dead drains.
        self._waits_until: float | None = None
        self.summary = Summary()
        self._slots = Slots(settings.drain_concurrency)
        self._worker = Worker(consumer, producer, engine, self._takes_more, self.summary, self._slots)
        self._lock_keeper = LockKeeper(
            consumer, live_drains, settings.lock_seconds, name, self._worker.active, self._is_leaving, waking
        )
        self._sweep = Sweep(
            producer, executions, schedules, engine, settings.lease_seconds, self._start, self.summary, self._slots
        )

    async def run(self) -> Summary:
        """What was done, once the queue has stayed empty for a moment or the time is nearly spent; nothing, where there
        are `MAX_DRAINS` already.

        Raises `KeeperDiedError` when a background task has died, with everything handed back.
        """
        if await self._is_one_too_many():
            return self.summary
        # Two groups with two lifetimes: whatever finds work stops when the drain leaves, and lock renewal goes on
        # until the last job is done or handed back.
        finding, holding = BackgroundTasks(self.leave), BackgroundTasks(self.leave)
        holding.start("locks", self._lock_keeper.renew_forever())
        finding.start("recovery", self._lock_keeper.recover_forever())
        finding.start("sweep", self._sweep.run_forever())
        finding.start("pace", self._autoscale_forever())
        try:
            while True:
                await self._claim_until_idle()
                if self._is_leaving() or await self._is_done():
                    break
        finally:
            self._stopping = True
            try:
                await finding.stop()
                await self._finish()
            finally:
                await holding.stop()
        if self._dead_task is not None:
            raise KeeperDiedError(f"The drain's keeper {self._dead_task!r} ended before the drain did.")
        return self.summary

    def leave(self, dead_task: str) -> None:
        """Makes `run` end early: the background task of this name has died, and nobody does its work any more."""
        self._dead_task = dead_task

    @property
    def slots_used(self) -> float:
        """The share of its slots that are in use now, 0 to 1."""
        return min(1.0, self._slots.at_work / self._slots.total)

    async def _is_one_too_many(self) -> bool:
        """Whether there are enough drains without this one: the schedule that starts one does not count them, and two
        callers may wake one at the same time. It has withdrawn then."""
        try:
            if await self._lock_keeper.announce() <= self._settings.max_drains:
                return False
            await self._live_drains.withdraw(self._name)
        except QueueUnavailableError:
            return False
        logger.info("enough_drains", extra={"max_drains": self._settings.max_drains})
        return True

    async def _autoscale_forever(self) -> None:
        await asyncio.sleep(AUTOSCALER_START_SECONDS)
        from shared.engine.drain.autoscaler import Autoscaler

        await Autoscaler(self._consumer, self._live_drains, self._settings, self._progress).run_forever()

    def _progress(self) -> Progress:
        finished = self.summary.completed + self.summary.delayed + self.summary.failed
        return Progress(finished, self._worker.unavailable, self.slots_used)

    # -- claiming ----------------------------------------------------------------------------------------------------

    async def _claim_until_idle(self) -> None:
        """Returns when no job has come for the linger time and none is running, or when time is short."""
        idle_since = time.monotonic()
        while not self._is_leaving():
            if not self._slots.free:
                await self._wait_for_a_slot()
                continue
            try:
                has_claimed = await self._claim()
                if not has_claimed:
                    await self._consumer.wait_for_job(min(IDLE_TURN_SECONDS, self._settings.drain_linger_seconds))
            except QueueUnavailableError:
                # Redis is not the source of truth: meanwhile the sweep finds what is due, and runs it here.
                has_claimed = False
                await asyncio.sleep(UNAVAILABLE_PAUSE_SECONDS)
            except Exception:  # the edge: running jobs go on, and the next claim may succeed
                logger.exception("claim_error")
                has_claimed = False
                await asyncio.sleep(ERROR_PAUSE_SECONDS)
            if has_claimed or self._fibers:
                idle_since, self._waits_until = time.monotonic(), None
            elif time.monotonic() - idle_since >= self._settings.drain_linger_seconds:
                return

    async def _claim(self) -> bool:
        """Whether any job was there: a fiber is started for each that was.

        Claims share a round trip, yet each of them costs Redis a script: their number doubles as long as all of them
        get a job, and falls back to one as soon as one does not.
        """
        claims = (self._consumer.claim(new_id()) for _ in range(min(self._slots.free, self._claims)))
        results = await asyncio.gather(*claims, return_exceptions=True)
        jobs = [result for result in results if isinstance(result, ClaimedJob)]
        self._claims = min(self._claims * 2, MAX_CLAIMS) if len(jobs) == len(results) else 1
        # Claimed jobs are ours and locked: they are started before the failure of another claim is raised.
        for job in jobs:
            self._start(self._worker.work(job))
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return bool(jobs)

    async def _wait_for_a_slot(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_TURN_SECONDS):
                await self._slots.one_free()

    async def _is_done(self) -> bool:
        """Whether the drain may leave.

        It withdraws first and claims once more after that: whoever added a job while this drain still counted as live
        woke no other, so that job must be found here.
        """
        try:
            if await self._waits_for_others():
                return False
            await self._live_drains.withdraw(self._name)
            if not await self._claim():
                return True
            await self._lock_keeper.announce()
        except QueueUnavailableError:
            return True
        except Exception:  # the edge: jobs that the other claims got are waited for
            logger.exception("claim_error")
            return True
        return False

    async def _waits_for_others(self) -> bool:
        """Whether jobs of dead drains are to come back, as they do when their locks have expired.

        Jobs that are still active after that have an owner who renews their locks: another client of the queue,
        perhaps, for which no drain waits.
        """
        if not (await self._consumer.counts())["active"] or await self._live_drains.count() > 1:
            return False
        if self._waits_until is None:
            self._waits_until = time.monotonic() + RECOVERY_LOCKS * self._settings.lock_seconds
        return time.monotonic() < self._waits_until

    def _is_leaving(self) -> bool:
        return self._stopping or self._dead_task is not None or self._remaining() <= self._reserve

    def _takes_more(self) -> bool:
        # Runs that were set aside take a slot again when they go on, whether one is free or not: until those are given
        # back, more runs are at work than there are slots.
        return not self._is_leaving() and self._slots.at_work <= self._slots.total

    def _start(self, work: Coroutine[object, object, None]) -> None:
        fiber = asyncio.create_task(work)
        self._fibers.add(fiber)
        self._slots.take()
        fiber.add_done_callback(self._ended)

    def _ended(self, fiber: asyncio.Task[None]) -> None:
        self._fibers.discard(fiber)
        self._slots.give_back()

    # -- leaving -----------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Lets running jobs end while there is time, hands the rest back, and wakes a successor if any is left."""
        if self._fibers:
            # While this drain counts as live, nobody wakes another for new jobs, which this one takes no more.
            with within(max(MIN_HAND_BACK_SECONDS, self._patience() / 3)):
                await self._wake_successor()
        if self._fibers:  # all may have ended meanwhile
            await asyncio.wait(self._fibers, timeout=max(0.0, self._patience()))
        # Every step from here has a share of the time that is left: Lambda kills an invocation that is late, and then
        # nothing is handed back.
        left = max(MIN_HAND_BACK_SECONDS, self._remaining() - MIN_HAND_BACK_SECONDS)
        await stop(self._fibers, min(left / 2, STOP_SECONDS))
        with within(left / 2):
            await self._worker.hand_back()
            await self._wake_successor()

    def _patience(self) -> float:
        """For how many seconds running jobs are waited for."""
        patience = self._remaining() - HAND_BACK_SECONDS
        # With a background task dead, the jobs may be lost soon: locks may not be renewed any more, for one.
        return patience if self._dead_task is None else min(patience, self._settings.lock_seconds / 3)

    async def _wake_successor(self) -> None:
        """Withdraws, and wakes another drain when jobs wait and none is live."""
        try:
            await self._live_drains.withdraw(self._name)
            if (await self._consumer.counts())["wait"] and not await self._live_drains.count():
                await wake_drain(self._live_drains)
        except QueueUnavailableError:
            logger.warning("queue_unavailable")
        except Exception:  # the edge: the schedule starts a drain within a minute
            logger.exception("not_passed_on")
