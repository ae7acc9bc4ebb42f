"""The delivery log of a webhook."""

from __future__ import annotations

from shared.queries.page import Page, keyset_page
from shared.queries.webhooks.get_delivery import view
from shared.queries.webhooks.get_webhook import get_webhook
from shared.repositories.rows import Keyset
from shared.repositories.webhooks import WebhookRepository


async def list_deliveries(
    webhooks: WebhookRepository,
    tenant_id: str,
    webhook_id: str,
    limit: int,
    before: Keyset | None = None,
    verdict: str | None = None,
    since: str | None = None,
    until: str | None = None,
    event_type: str | None = None,
) -> Page[Keyset]:
    """The webhook's delivery log, newest first, received from `since` on and before `until`. Raises `NotFoundError` for
    an unknown webhook."""
    await get_webhook(webhooks, tenant_id, webhook_id)
    rows = await webhooks.deliveries(
        tenant_id, webhook_id, limit + 1, before, verdict, since=since, until=until, event_type=event_type
    )
    page = keyset_page(rows, limit, "received_at")
    return Page([view(row) for row in page.items], page.next)
