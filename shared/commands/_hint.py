"""Tells a drain that there is a run to look at, so that it need not wait for the sweep."""

from __future__ import annotations

import logging

from shared.commands.services import Services
from shared.errors import QueueUnavailableError

logger = logging.getLogger(__name__)


async def hint(services: Services, tenant_id: str, execution_id: str) -> None:
    """Puts the run into the queue; it is durable either way, and due by its row."""
    from shared.queue.job import ExecutionJob
    from shared.queue.wake import wake_drain

    try:
        if not await services.queue.enqueue([ExecutionJob(tenant_id, execution_id, "resume")]):
            await wake_drain(services.queue)
    except QueueUnavailableError:
        logger.warning("execution_not_enqueued", extra={"execution_id": execution_id})
