"""One webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import NotFoundError
from shared.json_types import JsonMapping, JsonObject
from shared.repositories.webhooks import WebhookRepository

if TYPE_CHECKING:
    from shared.repositories.row_types import WebhookRow


async def get_webhook(webhooks: WebhookRepository, tenant_id: str, webhook_id: str) -> WebhookRow:
    """The webhook's row without its secrets; raises `NotFoundError` for an unknown one."""
    row = await webhooks.get(tenant_id, webhook_id)
    if row is None:
        raise NotFoundError
    return row


def view(row: JsonMapping, base_url: str) -> JsonObject:
    """The webhook as the API shows it; `base_url` is where its provider reaches this service."""
    return {
        "id": row["id"],
        "name": row["name"],
        "workflow_id": row["workflow_id"],
        "node_id": row["node_id"],
        "provider": row["provider"],
        "config": row["config"],
        "status": row["status"],
        "url": f"{base_url}/webhooks/{row['id']}/{row['provider']}",
        "last_triggered_at": row["last_triggered_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }
