"""Remove a webhook."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.enqueue_resume import request_drain
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.webhooks.changes import append, held_workflows, load
from shared.commands.write_through import remember_webhook
from shared.domain.actor import Actor
from shared.events.webhook import WebhookDeleted


async def delete_webhook(services: Services, actor: Actor, webhook_id: str) -> None:
    """Stops deliveries to the webhook for good, and releases held ones. Raises `NotFoundError`."""

    async def attempt() -> bool:
        current, _ = await load(services, actor.tenant_id, webhook_id)
        # Held deliveries were accepted: they run, although no more are taken.
        releases = bool(await held_workflows(services, current))
        await append(services, actor, current, [WebhookDeleted()])
        return releases

    has_released = await retry_on_conflict(attempt)
    await remember_webhook(services, webhook_id)
    if has_released:
        await request_drain(services)
