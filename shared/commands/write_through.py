"""Writes what intake needs through to Redis after a change, so that the change counts at the next delivery.

Best effort: Redis only hints, its entries are asked for again after a minute, and a change that is committed has
succeeded. Commands that run at once read and write in any order; whoever has read earlier does not overwrite whoever
has read later.
"""

from __future__ import annotations

import logging

from shared.bootstrap import Services
from shared.domain.webhook.intake_config import intake_config
from shared.errors import QueueError, QueueUnavailableError

logger = logging.getLogger(__name__)

# So many of a workflow's webhooks are read and remembered at once.
PAGE = 500
# How often a webhook is read again because somebody else has written it meanwhile.
ATTEMPTS = 8


async def remember_workflow(services: Services, tenant_id: str, workflow_id: str) -> None:
    """Writes the workflow's published version and all its webhooks through, as they are stored now."""
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
    """Looks at what is remembered before it reads what is stored, as `remember_webhook` does."""
    seen = dict(zip(webhook_ids, await services.config_cache.webhook_configs(webhook_ids), strict=True))
    workflow = await services.workflows.get(tenant_id, workflow_id)
    rows = await services.webhooks.of_workflow(tenant_id, workflow_id, PAGE, last)
    published = {"published_version": workflow["published_version"] if workflow is not None else None}
    entries = [(row["id"], intake_config({**row, **published}), seen[row["id"]]) for row in rows if row["id"] in seen]
    missed = await services.config_cache.refill_webhooks(entries) if entries else []
    # Those that are not the workflow's any more were written by whoever has changed that.
    for webhook_id in missed:
        await remember_webhook(services, webhook_id)


async def remember_webhook(services: Services, webhook_id: str) -> None:
    """Writes one webhook through as it is stored now; a deleted one as missing."""
    try:
        for _ in range(ATTEMPTS):
            seen = await services.config_cache.webhook_config(webhook_id)
            row = await services.webhooks.for_intake(webhook_id)
            if await services.config_cache.refill_webhook(webhook_id, intake_config(row) if row else None, seen):
                return
        await services.config_cache.forget_webhook(webhook_id)
    except (QueueUnavailableError, QueueError):
        logger.warning("hints_not_written", extra={"webhook_id": webhook_id})
