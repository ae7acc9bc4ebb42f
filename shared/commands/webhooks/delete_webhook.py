"""Remove a webhook."""

from __future__ import annotations

from shared.commands._hint import wake
from shared.commands._webhooks import append, held_workflows, load
from shared.commands.change import repeated_on_conflict
from shared.commands.remember import remember_webhook
from shared.commands.services import Services
from shared.domain.actor import Actor
from shared.events.webhook import WebhookDeleted


async def delete_webhook(services: Services, actor: Actor, webhook_id: str) -> None:
    """Stops deliveries to the webhook for good; `NotFoundError` when the tenant has none such, or no longer."""

    async def attempt() -> bool:
        current, _ = await load(services, actor.tenant_id, webhook_id)
        releases = bool(await held_workflows(services, current))
        await append(services, actor, current, [WebhookDeleted()])
        return releases

    has_released = await repeated_on_conflict(attempt)
    await remember_webhook(services, webhook_id)
    if has_released:
        await wake(services)
