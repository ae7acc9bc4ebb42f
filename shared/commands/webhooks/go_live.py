"""Mark a webhook with a user-defined scheme as live, now that a delivery has verified."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.webhooks.changes import append, load
from shared.commands.write_through import remember_webhook
from shared.domain.actor import Actor
from shared.domain.webhook.config import LIVE
from shared.events.webhook import WebhookUpdated


async def go_live(services: Services, tenant_id: str, webhook_id: str) -> None:
    """Marks the webhook as live, until its signature scheme is replaced. Repeating it changes nothing."""
    current, _ = await load(services, tenant_id, webhook_id)
    if current.config.get(LIVE):
        return
    fact = WebhookUpdated(
        name=current.name,
        workflow_id=current.workflow_id,
        node_id=current.node_id,
        provider=current.provider,
        config={**current.config, LIVE: True},
        status=current.status,
    )
    await append(services, Actor(tenant_id, f"webhook:{webhook_id}", "editor"), current, [fact])
    await remember_webhook(services, webhook_id)
