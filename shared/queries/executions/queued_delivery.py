"""The accepted delivery of a run that is only in the queue so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from shared.domain.webhook.delivery import DeliveryRecord
from shared.queue.job import ExecutionJob

# How a job is looked up: `JobProducer.peek`.
Peek = Callable[[str], Awaitable[ExecutionJob | None]]


async def queued_delivery(peek: Peek, tenant_id: str, execution_id: str) -> DeliveryRecord | None:
    """The accepted delivery that will start this run; `None` where the tenant has none under this id.

    Between its `202` response and its first event, an accepted delivery is in Redis alone.
    """
    job = await peek(execution_id)
    return job.delivery if job is not None and job.tenant_id == tenant_id else None
