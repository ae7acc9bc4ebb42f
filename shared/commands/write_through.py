"""Writes through to Redis's cache what intake needs after a change, so that the next delivery sees the change.

Best effort: the store is the source of truth, and entries are refreshed after a minute. Concurrent commands read and
write in any order; a write is refused if the entry has changed since the row was read, so that no older row overwrites
a newer one.
"""

from __future__ import annotations

import logging

from shared.bootstrap import Services
from shared.domain.webhook.intake_config import intake_config
from shared.errors import QueueError, QueueUnavailableError

logger = logging.getLogger(__name__)

# How many of a workflow's webhooks are read and cached at once.
PAGE = 500
# How often a webhook is read again because its cache entry has changed meanwhile.
ATTEMPTS = 8


async def remember_workflow(services: Services, tenant_id: str, workflow_id: str) -> None:
    """Caches the workflow's published version and all its webhooks as they are stored now."""
    try:
        workflow = await services.workflows.get(tenant_id, workflow_id)
        if workflow is not None:
            published = workflow["published_version"] or 0
            await services.config_cache.remember_published(workflow_id, published, workflow["stream_version"])
        page, last = await services.webhooks.of_workflow(tenant_id, workflow_id, PAGE), None
        while page:
            await _remember_page(services, tenant_id, workflow_id, [row["id"] for row in page], last)
            if len(page) < PAGE:
                break
            last = page[-1]["id"]
            page = await services.webhooks.of_workflow(tenant_id, workflow_id, PAGE, last)
    except (QueueUnavailableError, QueueError):
        logger.warning("hints_not_written", extra={"workflow_id": workflow_id})


async def _remember_page(
    services: Services, tenant_id: str, workflow_id: str, webhook_ids: list[str], last: str | None
) -> None:
    """Reads the cache entries before the rows, as `remember_webhook` does."""
    seen = dict(zip(webhook_ids, await services.config_cache.webhook_configs(webhook_ids), strict=True))
    # In this order: an entry that changes after `seen` was read has its write refused below.
    workflow = await services.workflows.get(tenant_id, workflow_id)
    rows = await services.webhooks.of_workflow(tenant_id, workflow_id, PAGE, last)
    published = {"published_version": workflow["published_version"] if workflow is not None else None}
    entries = [(row["id"], intake_config({**row, **published}), seen[row["id"]]) for row in rows if row["id"] in seen]
    missed = await services.config_cache.refill_webhooks(entries) if entries else []
    # Webhooks that moved to another workflow meanwhile were cached by the command that moved them.
    for webhook_id in missed:
        await remember_webhook(services, webhook_id)


async def remember_webhook(services: Services, webhook_id: str) -> None:
    """Caches one webhook as it is stored now; a deleted one as missing."""
    try:
        for _ in range(ATTEMPTS):
            seen = await services.config_cache.webhook_config(webhook_id)
            row = await services.webhooks.for_intake(webhook_id)
            if await services.config_cache.refill_webhook(webhook_id, intake_config(row) if row else None, seen):
                return
        # Others write faster than this reads. Which entry is the newest cannot be told here: without one, the next
        # delivery asks the store.
        await services.config_cache.forget_webhook(webhook_id)
    except (QueueUnavailableError, QueueError):
        logger.warning("hints_not_written", extra={"webhook_id": webhook_id})
