"""Writes what intake needs through to Redis after a change, so that the change counts at the next delivery.

Best effort: Redis only hints, its entries expire within a minute, and a change that is committed has succeeded.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from shared.commands.services import Services
from shared.errors import QueueUnavailableError

logger = logging.getLogger(__name__)


def webhook_hint(row: dict[str, Any], published: bool) -> dict[str, Any]:
    """A webhook's row, with its encrypted secrets, as intake reads it from Redis."""
    secrets = [{"secret": row["secret"], "expires_at": None}] if row.get("secret") else []
    if row.get("previous_secret") and row.get("previous_secret_expires_at"):
        secrets.append({"secret": row["previous_secret"], "expires_at": row["previous_secret_expires_at"]})
    names = ("id", "tenant_id", "workflow_id", "node_id", "name", "provider", "config", "status")
    return {**{name: row[name] for name in names}, "published": published, "secrets": secrets}


async def remember_workflow(services: Services, tenant_id: str, workflow_id: str, published: int | None) -> None:
    """Writes the workflow's published version (`None`: none) and all its webhooks through."""
    webhooks = await services.webhooks.of_workflow(tenant_id, workflow_id)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(services.hints.remember_published(workflow_id, published or 0))
            for row in webhooks:
                hint = webhook_hint(row, published is not None)
                group.create_task(services.hints.remember_webhook(row["id"], hint))
    except* QueueUnavailableError:
        logger.warning("hints_not_written", extra={"workflow_id": workflow_id})


async def remember_webhook(services: Services, webhook_id: str) -> None:
    """Writes one webhook through as it is stored now; a deleted one as missing."""
    row = await services.webhooks.for_intake(webhook_id)
    gone = row is None or row["status"] == "deleted"
    hint = None if row is None or gone else webhook_hint(row, row["published_version"] is not None)
    try:
        await services.hints.remember_webhook(webhook_id, hint)
    except QueueUnavailableError:
        logger.warning("hints_not_written", extra={"webhook_id": webhook_id})
