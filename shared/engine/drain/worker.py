"""A claimed job, from its run to its acknowledgement.

    wait → claimed (active, locked) ─┬→ completed: the run has ended, or waits for something other than a near timer
                                     ├→ delayed (nack): a near timer, an outage, an error that is tried again, a tenant
                                     │  at its share, a job that drains have died over
                                     ├→ failed (dead letter): malformed, refused, given up by BullMQ, crashed too often
                                     └→ handed back: the drain leaves first, or has died and the lock expires

The run itself is in the event store; whatever becomes of the job, the sweep finds a run that is due. Completing and
failing claim the next job in the same round trip, so a fiber works on one job after another under one lock token.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import NamedTuple

from shared.engine.run.executor import RunExecutor
from shared.errors import JobRefusedError, QueueError, QueueUnavailableError, UnavailableError
from shared.observability import count, highest
from shared.platform.slots import Slots
from shared.queue.consumer import JobConsumer
from shared.queue.job import STALLED_TOO_OFTEN, ClaimedJob, ExecutionJob
from shared.queue.producer import JobProducer

logger = logging.getLogger(__name__)

# A timer further away is left to the sweep; a nearer one is a delayed job, which is more punctual.
LONGEST_DELAY_SECONDS = 900.0
# A job whose run meets an internal error is tried so often before the run is recorded as failed.
MAX_INTERNAL_ERRORS = 3
UNAVAILABLE_PAUSE_SECONDS = 2.0
ERROR_PAUSE_SECONDS = 1.0


class Progress(NamedTuple):
    """What a drain measures of itself: how many jobs it has `finished`, how often a dependency was `unavailable` for
    one, and the share of its slots in use, 0 to 1."""

    finished: int
    unavailable: int
    slots_used: float


@dataclass(slots=True)
class Summary:
    """Counts that the parts of one drain add to: jobs, and `swept` runs that the sweep brought back."""

    completed: int = 0
    delayed: int = 0
    failed: int = 0
    swept: int = 0
    handed_back: int = 0


class Worker:
    """One drain's: works on many jobs at once, one in each of the drain's fibers."""

    def __init__(
        self,
        consumer: JobConsumer,
        producer: JobProducer,
        engine: RunExecutor,
        takes_more: Callable[[], bool],
        summary: Summary,
        slots: Slots | None = None,
    ) -> None:
        """`takes_more` says whether the next job is to be claimed with an acknowledgement; `summary` is added to;
        `slots` are the drain's."""
        self._consumer, self._producer, self._engine = consumer, producer, engine
        self._takes_more, self._summary = takes_more, summary
        self._slots = slots or Slots(1)
        # By lock token: each fiber has its own, and one job at a time. The job's id would not do as a key, for a run
        # that comes back at once is claimed by one fiber while another is still leaving it.
        self.active: dict[str, ClaimedJob] = {}
        # How often the store, or Redis, was out of reach for a job.
        self.unavailable = 0

    def work(self, claimed: ClaimedJob) -> Coroutine[object, object, None]:
        """A coroutine that works on this job and all that follow it. From this call on the job is `active`, even if the
        coroutine never starts; a job whose work is cancelled stays so, for it must be handed back."""
        self.active[claimed.token] = claimed
        return self._work(claimed)

    async def _work(self, first: ClaimedJob) -> None:
        claimed: ClaimedJob | None = first
        try:
            while claimed is not None:
                claimed = await self._process(claimed)
        except QueueUnavailableError:
            # The run is durable; the job comes back when its lock expires, or the sweep finds the run.
            logger.warning("queue_unavailable")
        except Exception:  # the edge: its lock expires, and the job comes back to some drain
            logger.exception("job_abandoned", extra={"job_id": first.id if claimed is None else claimed.id})
            count("JobsAbandoned")
        # Not in a `finally`: a fiber that is cancelled leaves its job to be handed back.
        self.active.pop(first.token, None)

    async def hand_back(self) -> None:
        """Gives the jobs that are still active, and whose work was cancelled, to other drains. Raises nothing."""
        await asyncio.gather(*(self._hand_back(claimed) for claimed in list(self.active.values())))

    async def _process(self, claimed: ClaimedJob) -> ClaimedJob | None:
        """Runs one job and acknowledges it: the next job, if one was claimed with that."""
        if claimed.job is None:
            logger.warning("job_malformed", extra={"job_id": claimed.id, "reason": claimed.malformed})
            return await self._fail(claimed, claimed.malformed or "malformed", is_kept=True)
        if claimed.is_suspect:
            return await self._nack_suspect(claimed)
        if claimed.deferred_failure is None and (
            pause := self._slots.pause_of(claimed.job.tenant_id, _size_bytes(claimed.job))
        ):
            return await self._nack(claimed, pause)
        try:
            if claimed.deferred_failure is not None:
                await self._engine.fail(claimed.job, *_deferred_error(claimed.deferred_failure))
                return await self._fail(claimed, claimed.deferred_failure)
            is_first_claim = claimed.attempts_started <= 1 and claimed.attempts_made == 0
            if is_first_claim:
                highest("QueueAgeSeconds", time.time() - claimed.added_at)
            timer = await self._execute(claimed.job, is_first_claim)
        except JobRefusedError as error:
            fields = {"job_id": claimed.id, "tenant_id": claimed.job.tenant_id, "reason": error.detail}
            logger.warning("job_refused", extra=fields)
            return await self._fail(claimed, error.detail, is_kept=True)
        except UnavailableError:
            self.unavailable += 1
            return await self._nack(claimed, UNAVAILABLE_PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001  # the edge: one run's error is not the drain's, and is logged
            return await self._handle_crash(claimed, claimed.job, error)
        if timer is not None and timer <= LONGEST_DELAY_SECONDS:
            return await self._nack(claimed, timer)
        self._summary.completed += 1
        following = self._hand_over(claimed, await self._consumer.complete(claimed, self._takes_more()))
        if timer == math.inf:
            # Only now: while the job was active, BullMQ would have ignored another of the same id.
            await self._reenqueue_if_signalled(claimed.job)
        return following

    async def _execute(self, job: ExecutionJob, is_first_claim: bool) -> float | None:
        """Runs the job, as `RunExecutor.execute`. Keeps the "a client is waiting" flag if the run goes back to
        sleep."""
        if job.kind == "resume" and await self._consumer.resume(job.execution_id):
            job = job._replace(client_is_waiting=True)
        with self._slots.run_of(job.tenant_id):
            timer = await self._engine.execute(job, is_first_claim)
        if timer == math.inf and job.client_is_waiting:
            await self._consumer.remember_waiting_client(job.execution_id)
        return timer

    async def _reenqueue_if_signalled(self, job: ExecutionJob) -> None:
        """Re-enqueues a run that was signalled while its job was still active (BullMQ ignored the duplicate job id)."""
        try:
            if await self._consumer.was_signalled(job.execution_id):
                await self._producer.enqueue([job._replace(kind="resume", delivery=None, start=None)])
        except (QueueUnavailableError, QueueError):
            # By its row the run is due: the sweep finds it.
            logger.warning("queue_unavailable")

    # -- acknowledging: whether the next job is wanted is asked now, not when this one began -------------------------

    def _hand_over(self, claimed: ClaimedJob, following: ClaimedJob | None) -> ClaimedJob | None:
        """The next job, which has taken the place of `claimed` among those whose locks are renewed."""
        if following is None:
            self.active.pop(claimed.token, None)
        else:
            self.active[claimed.token] = following
        return following

    async def _nack(self, claimed: ClaimedJob, seconds: float, for_stall: bool = False) -> ClaimedJob | None:
        """Delays the job by `seconds`, and claims the next one."""
        self._summary.delayed += 1
        await self._consumer.delay(claimed, seconds, for_stall)
        self._hand_over(claimed, None)
        if not self._takes_more():
            return None
        return self._hand_over(claimed, await self._consumer.claim(claimed.token))

    async def _nack_suspect(self, claimed: ClaimedJob) -> ClaimedJob | None:
        from shared.engine.drain.stalled_jobs import stall_backoff  # few jobs lose two drains

        pause = stall_backoff(claimed)
        logger.warning("job_put_off", extra={"job_id": claimed.id, "stalled": claimed.stalled, "seconds": pause})
        return await self._nack(claimed, pause, for_stall=True)

    async def _fail(self, claimed: ClaimedJob, reason: str, is_kept: bool = False) -> ClaimedJob | None:
        self._summary.failed += 1
        following = await self._consumer.fail(claimed, reason, self._takes_more(), is_kept=is_kept)
        return self._hand_over(claimed, following)

    async def _hand_back(self, claimed: ClaimedJob) -> None:
        try:
            await self._consumer.hand_back(claimed)
        except QueueUnavailableError:
            logger.warning("queue_unavailable")
        except Exception:  # the edge: the others are handed back all the same; this one's lock expires
            logger.exception("job_not_handed_back", extra={"job_id": claimed.id})
        # A fiber that ignored its cancellation may have removed it by now.
        self.active.pop(claimed.token, None)
        self._summary.handed_back += 1

    async def _handle_crash(self, claimed: ClaimedJob, job: ExecutionJob, error: Exception) -> ClaimedJob | None:
        """Tries a run again that met an internal error; at the last time it ends as failed."""
        logger.exception("run_error", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
        if await self._consumer.count_error(job.execution_id) < MAX_INTERNAL_ERRORS:
            return await self._nack(claimed, ERROR_PAUSE_SECONDS)
        is_kept = False
        try:
            await self._engine.fail(job, "internal_error", "The engine met an error of its own; it has been logged.")
        except UnavailableError:
            self.unavailable += 1
            return await self._nack(claimed, UNAVAILABLE_PAUSE_SECONDS)
        except Exception:  # the last resort: the job must leave the queue
            logger.exception("run_not_failed", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
            # A job that begins a run is the only record of it, and is kept; one that has begun needs its id free.
            is_kept = job.kind != "resume" and not await self._engine.has_begun(job)
        return await self._fail(claimed, f"{type(error).__name__}: {error}", is_kept)


def _size_bytes(job: ExecutionJob) -> int:
    """The size of the job's delivery, 0 where it has none."""
    return 0 if job.delivery is None else job.delivery["size_bytes"]


def _deferred_error(reason: str) -> tuple[str, str]:
    """The code and message of a run whose job BullMQ has given up."""
    if reason == STALLED_TOO_OFTEN:
        return "drain_died", "The drain that ran this died several times."
    return "job_failed", f"The job of this run was failed in the queue: {reason[:300]}"
