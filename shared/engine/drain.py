"""The drain: one invocation's work, from the first claim to the last handing back.

Fibers claim jobs and run them; finishing one job hands over the next in the same round trip. Beside them the drain
renews its locks and its presence, picks up what dead drains left, and sweeps the store for runs that are due. It
stops claiming early enough to finish, hands back what it cannot finish, and leaves when the queue stays empty.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.domain.timestamps import timestamp
from shared.engine.engine import Engine
from shared.engine.schedules import Schedules
from shared.errors import QueueUnavailableError, UnavailableError
from shared.ids import new_id
from shared.observability import highest
from shared.queue.execution_queue import ExecutionQueue
from shared.queue.job import ClaimedJob, ExecutionJob
from shared.queue.wake import wake_drain
from shared.repositories.executions import ExecutionRepository
from shared.runtime import stop
from shared.settings import Settings

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 10.0
SWEEP_LIMIT = 200
# How long before the end of its time the drain claims nothing new, at most: a quarter of a short time.
RESERVE_SECONDS = 30.0
# What is still running this long before the end is handed back.
HAND_BACK_SECONDS = 1.5
# An idle drain waits for a job in turns this long, so that it notices the end of its time.
IDLE_TURN_SECONDS = 1.0
# A backlog of so many jobs per fiber that has grown since the last look is more than this drain can do.
BACKLOG_PER_FIBER = 8
# So many claims share a round trip at most.
MAX_CLAIMS = 16
# A timer further away is left to the sweep; a nearer one is a delayed job, which is more punctual.
LONGEST_DELAY_SECONDS = 900.0
# A job whose run meets an error of ours is tried so often before the run is recorded as failed.
MAX_INTERNAL_ERRORS = 3
UNAVAILABLE_PAUSE_SECONDS = 2.0
ERROR_PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class Summary:
    """What an invocation did."""

    completed: int = 0
    delayed: int = 0
    failed: int = 0
    swept: int = 0
    handed_back: int = 0


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
        self._queue, self._executions, self._schedules, self._engine = queue, executions, schedules, engine
        self._settings, self._name, self._remaining = settings, name, remaining_seconds
        self._reserve = min(RESERVE_SECONDS, remaining_seconds() / 4)
        self._active: dict[str, ClaimedJob] = {}
        self._fibers: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._backlog = 0
        self._claims = 1
        self.summary = Summary()

    async def run(self) -> Summary:
        """What was done, once the queue has stayed empty for a moment or the time is nearly spent."""
        kept = (self._keep_locks(), self._keep_recovering(), self._keep_sweeping(), self._keep_pace())
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
                await asyncio.sleep(0.2)
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
            self._start(self._work(job))
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
            await self._announce()
        except QueueUnavailableError:
            return True
        return False

    @property
    def places_used(self) -> float:
        """The share of its places that are at work now."""
        return len(self._fibers) / self._settings.drain_concurrency

    def _is_time_short(self) -> bool:
        return self._remaining() <= self._reserve

    def _start(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]  # a coroutine of this class
        self._fibers.add(task)
        task.add_done_callback(self._fibers.discard)

    # -- working -----------------------------------------------------------------------------------------------------

    async def _work(self, claimed: ClaimedJob | None) -> None:
        """A fiber: this job, then whatever its completion hands over."""
        while claimed is not None:
            self._active[claimed.id] = claimed
            try:
                following = await self._one(claimed)
            except QueueUnavailableError:
                # The run is durable as it is; the job comes back, or the sweep finds the run.
                following = None
            del self._active[claimed.id]
            claimed = following

    async def _one(self, claimed: ClaimedJob) -> ClaimedJob | None:
        more = not self._stopping and not self._is_time_short()
        if claimed.job is None:
            logger.warning("job_malformed", extra={"job_id": claimed.id, "reason": claimed.malformed})
            self.summary.failed += 1
            return await self._queue.fail(claimed, claimed.malformed or "malformed", more)
        try:
            if claimed.deferred_failure is not None:
                message = "The drain that ran this died several times."
                await self._engine.fail(claimed.job, "drain_died", message)
                timer = None
            else:
                is_first = claimed.attempts_started <= 1 and claimed.attempts_made == 0
                if is_first:
                    highest("QueueAgeSeconds", time.time() - claimed.added_at)
                timer = await self._execute(claimed.job, is_first)
        except UnavailableError:
            return await self._delay(claimed, UNAVAILABLE_PAUSE_SECONDS, more)
        except Exception as error:  # noqa: BLE001  # the edge: one run's error is not the drain's, and is logged
            return await self._mishap(claimed, claimed.job, error, more)
        if timer is not None and timer <= LONGEST_DELAY_SECONDS:
            return await self._delay(claimed, timer, more)
        self.summary.completed += 1
        following = await self._queue.complete(claimed, more)
        if timer == math.inf:
            await self._come_back(claimed.job)
        return following

    async def _execute(self, job: ExecutionJob, is_first: bool) -> float | None:
        """As the engine's; that somebody waits for the run's answer is not forgotten while it waits itself."""
        if job.kind == "resume" and await self._queue.resume(job.execution_id):
            job = replace(job, awaited=True)
        timer = await self._engine.execute(job, is_first)
        if timer == math.inf and job.awaited:
            await self._queue.keep_awaited(job.execution_id)
        return timer

    async def _come_back(self, job: ExecutionJob) -> None:
        """Enqueues a run again for whose sake nobody could while its job was there."""
        try:
            if await self._queue.is_wanted_again(job.execution_id):
                await self._queue.enqueue([replace(job, kind="resume", delivery=None, start=None)])
        except QueueUnavailableError:
            # The run is due by its row.
            logger.warning("queue_unavailable")

    async def _delay(self, claimed: ClaimedJob, seconds: float, more: bool) -> ClaimedJob | None:
        self.summary.delayed += 1
        await self._queue.delay(claimed, seconds)
        return await self._queue.claim(claimed.token) if more else None

    async def _mishap(self, claimed: ClaimedJob, job: ExecutionJob, error: Exception, more: bool) -> ClaimedJob | None:
        logger.exception("run_error", extra={"execution_id": job.execution_id})
        if await self._queue.count_error(job.execution_id) < MAX_INTERNAL_ERRORS:
            return await self._delay(claimed, ERROR_PAUSE_SECONDS, more)
        self.summary.failed += 1
        try:
            await self._engine.fail(job, "internal_error", "The engine met an error of its own; it has been logged.")
        except Exception:  # the last resort: the job must leave the queue
            logger.exception("run_not_failed", extra={"execution_id": job.execution_id})
        return await self._queue.fail(claimed, f"{type(error).__name__}: {error}", more)

    # -- keeping -----------------------------------------------------------------------------------------------------

    async def _keep_locks(self) -> None:
        """Renews locks and presence while the drain lives."""
        while True:
            try:
                if not self._is_time_short():
                    await self._announce()
                lost = await self._queue.extend_locks(list(self._active.values()))
                # A job that was completed meanwhile has no lock either.
                lost = [job_id for job_id in lost if job_id in self._active]
                if lost:
                    # The runs go on: should somebody else have them by now, their next append conflicts.
                    logger.warning("locks_lost", extra={"job_ids": lost})
            except QueueUnavailableError:
                logger.warning("queue_unavailable")
            await asyncio.sleep(self._settings.lock_seconds / 3)

    async def _announce(self) -> None:
        await self._queue.announce(self._name, self._settings.lock_seconds)

    async def _keep_recovering(self) -> None:
        """Brings back dead drains' jobs, once their locks have expired."""
        while True:
            try:
                recovered = await self._queue.recover_stalled()
                if recovered:
                    logger.warning("jobs_recovered", extra={"job_ids": recovered})
            except QueueUnavailableError:
                logger.warning("queue_unavailable")
            await asyncio.sleep(self._settings.lock_seconds)

    async def _keep_sweeping(self) -> None:
        """Brings back runs that the store says are due and that nobody has brought back, and fires schedules."""
        while True:
            full = False
            try:
                full = await self._sweep()
            except UnavailableError:
                logger.warning("sweep_failed")
            except Exception:  # the edge: the next sweep may fare better, and nothing else finds what is due
                logger.exception("sweep_error")
            await asyncio.sleep(0.1 if full else SWEEP_SECONDS)

    async def _sweep(self) -> bool:
        """Whether there may be more: what is due is enqueued or, where Redis is out of reach, run here."""
        now = timestamp(self._engine.clock())
        due = await self._executions.claim_due(SWEEP_LIMIT, self._settings.lease_seconds, now)
        jobs = [ExecutionJob(row["tenant_id"], row["execution_id"], "resume") for row in due if "execution_id" in row]
        jobs += await self._schedules.fire([row for row in due if "cron" in row])
        self.summary.swept += len(jobs)
        try:
            await self._queue.enqueue(jobs)
        except QueueUnavailableError:
            for job in jobs:
                self._start(self._direct(job))
        return len(due) >= SWEEP_LIMIT

    async def _direct(self, job: ExecutionJob) -> None:
        try:
            await self._engine.execute(job)
        except UnavailableError:
            logger.warning("run_unavailable", extra={"execution_id": job.execution_id})
        except Exception:  # the edge, as in _one; the lease brings it back
            logger.exception("run_error", extra={"execution_id": job.execution_id})

    async def _keep_pace(self) -> None:
        """Starts a helper each time the backlog has outgrown this drain."""
        while True:
            await asyncio.sleep(1.0)
            try:
                backlog = (await self._queue.counts())["wait"]
                if backlog > max(self._backlog, BACKLOG_PER_FIBER * self._settings.drain_concurrency):
                    await wake_drain(self._queue)
                self._backlog = backlog
            except QueueUnavailableError:
                logger.warning("queue_unavailable")

    # -- leaving -----------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Lets running jobs end while there is time, hands the rest back, and wakes a successor if any is left."""
        if self._fibers:
            await asyncio.wait(self._fibers, timeout=max(0.0, self._remaining() - HAND_BACK_SECONDS))
        left = list(self._active.values())
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
