"""The sweep: brings back runs that the store says are due and that nobody has brought back, and fires schedules."""

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
# After a full sweep there may be more.
FULL_SWEEP_SECONDS = 0.1

Start = Callable[[Coroutine[object, object, None]], None]


class Sweep:
    """One drain's."""

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
        """A run that is brought back is nobody else's for `lease_seconds`. `start` makes work one of the drain's
        fibers, in one of its `slots`; `summary` is added to."""
        self._producer, self._executions, self._schedules, self._engine = producer, executions, schedules, engine
        self._lease_seconds, self._start, self._summary, self._slots = lease_seconds, start, summary, slots

    async def run_forever(self) -> None:
        """Sweeps until it is cancelled."""
        await run_periodically("sweep", self._sweep, failed_pause_seconds=SWEEP_SECONDS)

    async def _sweep(self) -> float:
        """The seconds until the next sweep: what is due is enqueued or, where Redis is out of reach, run here."""
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
                # As many at once as there are places: thousands may be due. Those that this turn is too short for have
                # their leases, which bring them back.
                await self._slots.one_free()
                self._start(self._run_here(job))

    async def _run_here(self, job: ExecutionJob) -> None:
        try:
            with self._slots.run_of(job.tenant_id):
                await self._engine.execute(job)
        except UnavailableError:
            logger.warning("run_unavailable", extra={"execution_id": job.execution_id})
        except Exception:  # the edge, as a worker's; the lease brings the run back
            logger.exception("run_error", extra={"execution_id": job.execution_id})


async def _put_aside(job: ExecutionJob, error: Exception) -> None:
    """Leaves a run to its lease, which brings it back."""
    about = {"tenant_id": job.tenant_id, "execution_id": job.execution_id}
    logger.error("sweep_item_failed", exc_info=error, extra=about)
    count("SweepItemsFailed")
