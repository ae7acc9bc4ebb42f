"""Tells a drain that there is something to do, so that it need not wait for the sweep, or for the schedule."""

from __future__ import annotations

import logging

from shared.bootstrap import Services
from shared.errors import QueueError, QueueUnavailableError
from shared.platform.deadline import within

logger = logging.getLogger(__name__)

# A hint is worth no more: what it tells of is recorded, and its caller waits for an answer.
HINT_SECONDS = 3.0


async def enqueue_resume(
    services: Services, tenant_id: str, *execution_ids: str, client_is_waiting: bool = False, again: bool = False
) -> None:
    """Puts the runs into the queue; they are durable either way, and due by their rows. `client_is_waiting`: somebody
    waits for their answer. `again`: something has happened that they wait for."""
    from shared.queue.job import ExecutionJob
    from shared.queue.wake import wake_drain

    jobs = [
        ExecutionJob(tenant_id, execution_id, "resume", client_is_waiting=client_is_waiting)
        for execution_id in execution_ids
    ]
    try:
        with within(HINT_SECONDS):
            if not await services.producer.enqueue(jobs, again):
                await wake_drain(services.live_drains)
    except (QueueUnavailableError, QueueError):
        logger.warning("execution_not_enqueued", extra={"execution_ids": list(execution_ids)})


async def request_drain(services: Services) -> None:
    """Has a drain come, for what is in the queue where none is live, or for runs that are due by their rows: it begins
    with a sweep, and those that live may have swept just before."""
    from shared.queue.wake import wake_drain

    try:
        with within(HINT_SECONDS):
            await wake_drain(services.live_drains)
    except (QueueUnavailableError, QueueError):
        logger.warning("drain_not_woken")
