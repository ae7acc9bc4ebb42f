"""Register a webhook."""

from __future__ import annotations

from typing import Any, Literal

from shared.commands._webhooks import WebhookDescription, check, generated_secret, sealed
from shared.commands.record import now, record
from shared.commands.remember import remember_webhook
from shared.commands.services import Services
from shared.domain import webhook
from shared.domain.actor import Actor
from shared.domain.provider import ProviderRules
from shared.errors import Problem, UnprocessableError
from shared.events.webhook import WebhookCreated
from shared.ids import new_id
from shared.repositories.event_store import Append


class CreateWebhook(WebhookDescription):
    """A webhook to be registered. Without a secret, one is generated where the provider's scheme needs one."""

    status: Literal["active", "paused"] = "active"


async def create_webhook(
    services: Services, actor: Actor, command: CreateWebhook, rules: ProviderRules | None
) -> dict[str, Any]:
    """The new webhook's row and, this once, its `secret` (`None` where it has none).

    `rules` are the provider's, unset when there is no such provider. What the command refers to and is not there
    raises `UnprocessableError`.
    """
    await check(services, actor.tenant_id, command, rules)
    assert rules is not None, "check refuses unknown providers"
    webhook_id, happened_at = new_id(), now()
    secret = command.given_secret or generated_secret(rules)
    if secret is None and rules.must_be_given:
        problem = Problem("/secret", f"The secret of {rules.id} is made there: it must be given.", rules.where or None)
        raise UnprocessableError("The webhook cannot be saved like this.", problems=(problem,))
    fact = WebhookCreated(
        name=command.name,
        workflow_id=command.workflow_id,
        node_id=command.node_id,
        provider=command.provider,
        config=command.config,
        status=command.status,
    )
    row = webhook.row(webhook.apply(None, fact, actor.tenant_id, webhook_id, happened_at))
    await services.events.append_one(
        Append(
            tenant_id=actor.tenant_id,
            stream_id=webhook_id,
            stream_type="webhook",
            expected_version=0,
            events=record(actor, happened_at, fact),
            row=row,
            secret={"secret": await sealed(actor.tenant_id, webhook_id, secret)} if secret else None,
        )
    )
    await remember_webhook(services, webhook_id)
    return {**row, "last_triggered_at": None, "secret": secret}
