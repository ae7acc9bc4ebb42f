"""Replace a webhook's description."""

from __future__ import annotations

from typing import Any, Literal

from shared.commands._webhooks import WebhookDescription, append, check, load, refused, status_of, stored_secret
from shared.commands.change import repeated_on_conflict
from shared.commands.remember import remember_webhook
from shared.commands.services import Services
from shared.domain import webhook
from shared.domain.actor import Actor
from shared.domain.provider import ProviderRules, secret_problems
from shared.errors import Problem, UnprocessableError
from shared.events.webhook import WebhookFact, WebhookSecretRotated, WebhookUpdated


class UpdateWebhook(WebhookDescription):
    """The webhook's new description. A secret replaces the present one at once; without one, it stays. One that was
    awaiting its secret is active once it has it."""

    status: Literal["active", "paused", "awaiting_secret"] = "active"


async def update_webhook(
    services: Services, actor: Actor, webhook_id: str, command: UpdateWebhook, rules: ProviderRules | None
) -> dict[str, Any]:
    """The webhook's row after the change.

    The provider is part of the webhook's address and cannot change. Raises `NotFoundError` when the tenant has no such
    webhook, and `UnprocessableError` with a pointer to what does not fit.
    """

    async def attempt() -> dict[str, Any]:
        current, last_triggered_at = await load(services, actor.tenant_id, webhook_id)
        if command.provider != current.provider:
            message = f"The provider is {current.provider} and cannot change."
            raise UnprocessableError(message, problems=(Problem("/provider", message, "Create another webhook."),))
        await check(services, actor.tenant_id, command, rules)
        assert rules is not None, "check refuses unknown providers"
        secret = command.given_secret or await stored_secret(services, actor.tenant_id, webhook_id)
        # Another configuration may want another kind of secret, under which the present one would verify nothing.
        if rules.takes_secret and secret_problems(rules, secret):
            raise refused(
                Problem("/secret", "The present secret does not fit this configuration.", rules.where or None)
            )
        status = status_of(command.status, rules, has_secret=secret is not None)
        changed = await append(services, actor, current, _facts(command, status), command.given_secret)
        return {**webhook.row(changed), "last_triggered_at": last_triggered_at}

    row = await repeated_on_conflict(attempt)
    await remember_webhook(services, webhook_id)
    return row


def _facts(command: UpdateWebhook, status: str) -> list[WebhookFact]:
    updated = WebhookUpdated(
        name=command.name,
        workflow_id=command.workflow_id,
        node_id=command.node_id,
        provider=command.provider,
        config=command.config,
        status=status,
    )
    if command.given_secret is None:
        return [updated]
    return [updated, WebhookSecretRotated(previous_secret_expires_at=None)]
