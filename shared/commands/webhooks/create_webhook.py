"""Register a webhook."""

from __future__ import annotations

from typing import Literal

from shared.bootstrap import Services
from shared.commands.new_events import new_events, now
from shared.commands.webhooks.changes import WebhookDescription, check, generated_secret, sealed, status_of
from shared.commands.write_through import remember_webhook
from shared.domain.actor import Actor
from shared.domain.webhook import state as webhook
from shared.domain.webhook.provider_rules import ProviderRules
from shared.events.webhook import WebhookCreated
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.repositories.append import Append


class CreateWebhook(WebhookDescription):
    """A webhook to be registered. Without a secret, one is generated where the provider lets you choose it.

    `awaiting_secret`: it answers its provider's handshakes and refuses every delivery until it is given its secret,
    for providers that show one only once they know the URL. `paused`: it refuses every delivery. `holding`: it keeps
    verified deliveries, and runs them when it becomes active.
    """

    status: Literal["active", "paused", "holding", "awaiting_secret"] = "active"


async def create_webhook(
    services: Services, actor: Actor, command: CreateWebhook, rules: ProviderRules | None
) -> JsonObject:
    """The new webhook's row with its `secret` (`None` where it has none), which is never shown again.

    `rules` are the provider's, unset for an unknown provider. Invalid or missing references raise
    `UnprocessableError`.
    """
    await check(services, actor.tenant_id, command, rules)
    assert rules is not None, "check refuses unknown providers"
    webhook_id, happened_at = new_id(), now()
    secret = command.given_secret
    if secret is None and command.status != "awaiting_secret":
        secret = generated_secret(rules)
    status = status_of(command.status, rules, has_secret=secret is not None)
    fact = WebhookCreated(
        name=command.name,
        workflow_id=command.workflow_id,
        node_id=command.node_id,
        provider=command.provider,
        config=command.config,
        status=status,
    )
    row = webhook.row(webhook.apply(None, fact, actor.tenant_id, webhook_id, happened_at))
    await services.events.append_one(
        Append(
            tenant_id=actor.tenant_id,
            stream_id=webhook_id,
            stream_type="webhook",
            expected_version=0,
            events=new_events(actor, happened_at, fact),
            row=row,
            secret={"secret": await sealed(actor.tenant_id, webhook_id, secret)} if secret else None,
        )
    )
    await remember_webhook(services, webhook_id)
    return {**row, "last_triggered_at": None, "secret": secret}
