"""Which webhook is this?"""

from __future__ import annotations

from shared.errors import NotFoundError
from shared.repositories.rows import Row
from shared.repositories.webhooks import WebhookRepository


async def get_webhook(webhooks: WebhookRepository, tenant_id: str, webhook_id: str) -> Row:
    """The webhook's row without its secrets; `NotFoundError` when the tenant has none such."""
    row = await webhooks.get(tenant_id, webhook_id)
    if row is None:
        raise NotFoundError
    return row
