"""Writes what intake needs through to Redis after a change, so that the change counts at the next delivery.

Best effort: Redis only hints, its entries expire within a minute, and a change that is committed has succeeded.
"""

from __future__ import annotations

import asyncio
import logging

from shared.commands.services import Services
from shared.domain.intake_config import intake_config
from shared.errors import QueueError, QueueUnavailableError

logger = logging.getLogger(__name__)


async def remember_workflow(services: Services, tenant_id: str, workflow_id: str, published: int | None) -> None:
    """Writes the workflow's published version (`None`: none) and all its webhooks through."""
    webhooks = await services.webhooks.of_workflow(tenant_id, workflow_id)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(services.hints.remember_published(workflow_id, published or 0))
            for row in webhooks:
                config = intake_config({**row, "published_version": published})
                group.create_task(services.hints.remember_webhook(row["id"], config))
    except* (QueueUnavailableError, QueueError):
        logger.warning("hints_not_written", extra={"workflow_id": workflow_id})


async def remember_webhook(services: Services, webhook_id: str) -> None:
    """Writes one webhook through as it is stored now; a deleted one as missing."""
    row = await services.webhooks.for_intake(webhook_id)
    try:
        await services.hints.remember_webhook(webhook_id, intake_config(row) if row else None)
    except (QueueUnavailableError, QueueError):
        logger.warning("hints_not_written", extra={"webhook_id": webhook_id})
