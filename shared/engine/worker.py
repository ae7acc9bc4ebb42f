"""A claimed job, from its run to its acknowledgement: it is completed, delayed or failed, and hands over the next."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from shared.engine.drain_summary import Summary
from shared.engine.engine import Engine
from shared.errors import QueueUnavailableError, UnavailableError
from shared.observability import count, highest
from shared.queue.execution_queue import ExecutionQueue
from shared.queue.job import ClaimedJob, ExecutionJob

logger = logging.getLogger(__name__)

# A timer further away is left to the sweep; a nearer one is a delayed job, which is more punctual.
LONGEST_DELAY_SECONDS = 900.0
# A job whose run meets an error of ours is tried so often before the run is recorded as failed.
MAX_INTERNAL_ERRORS = 3
UNAVAILABLE_PAUSE_SECONDS = 2.0
ERROR_PAUSE_SECONDS = 1.0


class Worker:
    """One drain's: works on many jobs at once, one in each of the drain's fibers."""

    def __init__(self, queue: ExecutionQueue, engine: Engine, takes_more: Callable[[], bool], summary: Summary) -> None:
        """`takes_more` says whether a job that is done with may hand over the next; `summary` is added to."""
        self._queue, self._engine, self._takes_more, self._summary = queue, engine, takes_more, summary
        # By the token that a job is locked under: each fiber has its own, and one job at a time. The job's id would
        # not do, for a run that comes back at once is claimed by one fiber while another is still leaving it.
        self.active: dict[str, ClaimedJob] = {}

    def work(self, claimed: ClaimedJob) -> Coroutine[Any, Any, None]:
        """To be awaited: this job and all that follow it are done with. From now on they are `active`, one at a time;
        the one whose work is cancelled stays so, for it must be handed back."""
        self.active[claimed.token] = claimed
        return self._work(claimed)

    async def _work(self, first: ClaimedJob) -> None:
        claimed: ClaimedJob | None = first
        try:
            while claimed is not None:
                claimed = await self._one(claimed)
        except QueueUnavailableError:
            # The run is durable as it is; the job comes back, or the sweep finds the run.
            logger.warning("queue_unavailable")
        except Exception:  # the edge: its lock expires, and the job comes back to whichever drain
            logger.exception("job_abandoned", extra={"job_id": first.id if claimed is None else claimed.id})
            count("JobsAbandoned")
        # Not in a `finally`: a fiber that is cancelled leaves its job to be handed back.
        self.active.pop(first.token, None)

    async def _one(self, claimed: ClaimedJob) -> ClaimedJob | None:
        if claimed.job is None:
            logger.warning("job_malformed", extra={"job_id": claimed.id, "reason": claimed.malformed})
            return await self._fail(claimed, claimed.malformed or "malformed")
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
            return await self._delay(claimed, UNAVAILABLE_PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001  # the edge: one run's error is not the drain's, and is logged
            return await self._mishap(claimed, claimed.job, error)
        if timer is not None and timer <= LONGEST_DELAY_SECONDS:
            return await self._delay(claimed, timer)
        self._summary.completed += 1
        following = self._handed_over(claimed, await self._queue.complete(claimed, self._takes_more()))
        if timer == math.inf:
            await self._come_back(claimed.job)
        return following

    async def _execute(self, job: ExecutionJob, is_first: bool) -> float | None:
        """As the engine's; that somebody waits for the run's answer is not forgotten while it waits itself."""
        if job.kind == "resume" and await self._queue.resume(job.execution_id):
            job = job._replace(awaited=True)
        timer = await self._engine.execute(job, is_first)
        if timer == math.inf and job.awaited:
            await self._queue.keep_awaited(job.execution_id)
        return timer

    async def _come_back(self, job: ExecutionJob) -> None:
        """Enqueues a run again that somebody signalled while its job was there, when nobody else could."""
        try:
            if await self._queue.is_wanted_again(job.execution_id):
                await self._queue.enqueue([job._replace(kind="resume", delivery=None, start=None)])
        except QueueUnavailableError:
            # The run is due by its row.
            logger.warning("queue_unavailable")

    # -- acknowledging: whether the next job is wanted is asked now, not when this one began -------------------------

    def _handed_over(self, claimed: ClaimedJob, following: ClaimedJob | None) -> ClaimedJob | None:
        """The job that has come in the place of `claimed`: what is to be kept, or handed back, from now on."""
        if following is None:
            self.active.pop(claimed.token, None)
        else:
            self.active[claimed.token] = following
        return following

    async def _delay(self, claimed: ClaimedJob, seconds: float) -> ClaimedJob | None:
        self._summary.delayed += 1
        await self._queue.delay(claimed, seconds)
        self._handed_over(claimed, None)
        if not self._takes_more():
            return None
        return self._handed_over(claimed, await self._queue.claim(claimed.token))

    async def _fail(self, claimed: ClaimedJob, reason: str) -> ClaimedJob | None:
        self._summary.failed += 1
        return self._handed_over(claimed, await self._queue.fail(claimed, reason, self._takes_more()))

    async def _mishap(self, claimed: ClaimedJob, job: ExecutionJob, error: Exception) -> ClaimedJob | None:
        logger.exception("run_error", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
        if await self._queue.count_error(job.execution_id) < MAX_INTERNAL_ERRORS:
            return await self._delay(claimed, ERROR_PAUSE_SECONDS)
        try:
            await self._engine.fail(job, "internal_error", "The engine met an error of its own; it has been logged.")
        except Exception:  # the last resort: the job must leave the queue
            logger.exception("run_not_failed", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
        return await self._fail(claimed, f"{type(error).__name__}: {error}")
