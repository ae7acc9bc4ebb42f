"""The sweep: brings back runs that are due by their rows and whose job was lost, and fires schedules that are due.

Redis may lose any job: a run's row in Postgres says when a drain must look at it again. Claiming a due run moves that
time on by a lease, so that several drains' sweeps do not bring back the same run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence

from shared.domain.timestamps import timestamp
from shared.engine.drain.background_tasks import run_periodically
from shared.engine.drain.schedules import Schedules
from shared.engine.drain.worker import Summary
from shared.engine.run.executor import RunExecutor
from shared.errors import QueueUnavailableError, UnavailableError
from shared.observability import count
from shared.platform.slots import Slots
from shared.queue.job import ExecutionJob
from shared.queue.producer import JobProducer
from shared.repositories.executions import ExecutionRepository

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 10.0
SWEEP_LIMIT = 200
# After a sweep that has reached its limit there may be more.
FULL_SWEEP_SECONDS = 0.1

Start = Callable[[Coroutine[object, object, None]], None]


class Sweep:
    """One drain's sweep."""

    def __init__(
        self,
        producer: JobProducer,
        executions: ExecutionRepository,
        schedules: Schedules,
        engine: RunExecutor,
        lease_seconds: float,
        start: Start,
        summary: Summary,
        slots: Slots,
    ) -> None:
        """No other sweep takes a run that was brought back for `lease_seconds`. `start` makes a coroutine one of the
        drain's fibers, in one of its `slots`; `summary` is added to."""
        self._producer, self._executions, self._schedules, self._engine = producer, executions, schedules, engine
        self._lease_seconds, self._start, self._summary, self._slots = lease_seconds, start, summary, slots

    async def run_forever(self) -> None:
        """Sweeps until it is cancelled."""
        await run_periodically("sweep", self._sweep, failed_pause_seconds=SWEEP_SECONDS)

    async def _sweep(self) -> float:
        """The seconds until the next sweep. Due runs are enqueued or, while Redis is out of reach, run here."""
        now = timestamp(self._engine.clock())
        due = await self._executions.claim_due(SWEEP_LIMIT, self._lease_seconds, now)
        jobs = [ExecutionJob(row["tenant_id"], row["execution_id"], "resume") for row in due if "execution_id" in row]
        jobs += await self._schedules.fire([row for row in due if "cron" in row])
        self._summary.swept += len(jobs)
        if jobs:
            await self._bring_back(jobs)
        return FULL_SWEEP_SECONDS if len(due) >= SWEEP_LIMIT else SWEEP_SECONDS

    async def _bring_back(self, jobs: Sequence[ExecutionJob]) -> None:
        from shared.engine.drain.bisection import write_all  # most sweeps find nothing

        try:
            await write_all(jobs, self._producer.enqueue, _put_aside)
        except QueueUnavailableError:
            for job in jobs:
                # One per free slot: thousands may be due. The deadline of this turn may cut the rest off, which comes
                # back when its leases end.
                await self._slots.one_free()
                self._start(self._run_here(job))

    async def _run_here(self, job: ExecutionJob) -> None:
        try:
            with self._slots.run_of(job.tenant_id):
                await self._engine.execute(job)
        except UnavailableError:
            logger.warning("run_unavailable", extra={"execution_id": job.execution_id})
        except Exception:  # the edge, as in a worker; the run comes back when its lease ends
            logger.exception("run_error", extra={"execution_id": job.execution_id})


async def _put_aside(job: ExecutionJob, error: Exception) -> None:
    """Skips a run that cannot be enqueued: it comes back when its lease ends."""
    fields = {"tenant_id": job.tenant_id, "execution_id": job.execution_id}
    logger.error("sweep_item_failed", exc_info=error, extra=fields)
    count("SweepItemsFailed")
