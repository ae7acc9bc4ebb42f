"""Store the secret that a provider sent in its handshake."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.webhooks.changes import append, load
from shared.commands.write_through import remember_webhook
from shared.domain.actor import Actor
from shared.errors import ConflictError
from shared.events.webhook import WebhookSecretRotated


async def keep_handshake_secret(services: Services, tenant_id: str, webhook_id: str, secret: str) -> None:
    """Stores the webhook's first secret. A webhook that has one keeps it, and `ConflictError` is raised: a later
    handshake is unsigned, and could come from anybody."""
    row = await services.webhooks.for_intake(webhook_id)
    if row is None or row["tenant_id"] != tenant_id or row.get("secret"):
        raise ConflictError("This webhook has its secret.")
    current, _ = await load(services, tenant_id, webhook_id)
    fact = WebhookSecretRotated(previous_secret_expires_at=None)
    # A second handshake at the same moment conflicts on the stream's version: the first one's secret stays.
    await append(services, Actor(tenant_id, f"webhook:{webhook_id}", "editor"), current, [fact], secret)
    await remember_webhook(services, webhook_id)
