"""A tenant's webhooks."""

from __future__ import annotations

from shared.queries.page import Page, keyset_page
from shared.repositories.rows import Keyset
from shared.repositories.webhooks import WebhookRepository


async def list_webhooks(
    webhooks: WebhookRepository,
    tenant_id: str,
    limit: int,
    before: Keyset | None = None,
    workflow_id: str | None = None,
) -> Page[Keyset]:
    """The tenant's webhooks without their secrets, newest first; of one workflow where it is given."""
    return keyset_page(await webhooks.list(tenant_id, limit + 1, before, workflow_id), limit)
