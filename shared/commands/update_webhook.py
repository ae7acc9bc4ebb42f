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
from shared.errors import NotPublishedError, Problem, UnprocessableError
from shared.events.webhook import WebhookFact, WebhookSecretRotated, WebhookUpdated


class UpdateWebhook(WebhookDescription):
    """The webhook's new description. A secret replaces the present one at once; without one, it stays. One that was
    awaiting its secret is active once it has it. One that is active after `holding` has what it holds run, in the order
    in which it came."""

    status: Literal["active", "paused", "holding", "awaiting_secret"] = "active"


async def update_webhook(
    services: Services, actor: Actor, webhook_id: str, command: UpdateWebhook, rules: ProviderRules | None
) -> dict[str, Any]:
    """The webhook's row after the change.

    The provider is part of the webhook's address and cannot change. Raises `NotFoundError` when the tenant has no such
    webhook, `UnprocessableError` with a pointer to what does not fit, and `NotPublishedError` where deliveries are held
    that nothing would run.
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
        if current.status in ("holding", "paused") and status == "active":
            await _refuse_unrunnable(services, actor.tenant_id, command.workflow_id, webhook_id)
        changed = await append(services, actor, current, _facts(command, status), command.given_secret)
        return {**webhook.row(changed), "last_triggered_at": last_triggered_at}

    row = await repeated_on_conflict(attempt)
    await remember_webhook(services, webhook_id)
    return row


async def _refuse_unrunnable(services: Services, tenant_id: str, workflow_id: str, webhook_id: str) -> None:
    """Passes unless the webhook holds deliveries that its release would make fail, for want of a published version."""
    if await services.executions.has_held(tenant_id, webhook_id):
        workflow = await services.workflows.get(tenant_id, workflow_id)
        if workflow is None or workflow["published_version"] is None:
            raise NotPublishedError


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
