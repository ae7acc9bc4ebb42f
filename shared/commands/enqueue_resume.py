"""Enqueues runs and wakes a drain, so that nothing waits for the sweep or the schedule."""

from __future__ import annotations

import logging

from shared.bootstrap import Services
from shared.errors import QueueError, QueueUnavailableError
from shared.platform.deadline import within

logger = logging.getLogger(__name__)

# How long this may take: the run is stored already, and the caller waits for a response.
ENQUEUE_SECONDS = 3.0


async def enqueue_resume(
    services: Services, tenant_id: str, *execution_ids: str, client_is_waiting: bool = False, signalled: bool = False
) -> None:
    """Puts the runs into the queue. Best effort: they are stored, and the sweep finds them by their rows otherwise.
    `client_is_waiting`: a client waits for their reply. `signalled`: something that they wait for has happened, so that
    a job which is active now must run once more."""
    from shared.queue.job import ExecutionJob
    from shared.queue.wake import wake_drain

    jobs = [
        ExecutionJob(tenant_id, execution_id, "resume", client_is_waiting=client_is_waiting)
        for execution_id in execution_ids
    ]
    try:
        # One deadline for both steps, the queue's and the waking of a drain.
        with within(ENQUEUE_SECONDS):
            if not await services.producer.enqueue(jobs, signalled):
                await wake_drain(services.live_drains)
    except (QueueUnavailableError, QueueError):
        logger.warning("execution_not_enqueued", extra={"execution_ids": list(execution_ids)})


async def request_drain(services: Services) -> None:
    """Wakes a drain, for jobs in the queue or for runs that are due by their rows: a new drain begins with a sweep, the
    live ones may have swept just before. Best effort."""
    from shared.queue.wake import wake_drain

    try:
        with within(ENQUEUE_SECONDS):
            await wake_drain(services.live_drains)
    except (QueueUnavailableError, QueueError):
        logger.warning("drain_not_woken")
