"""Rotate a webhook's secret: during a grace period both verify."""

from __future__ import annotations

import time

from pydantic import Field, SecretStr

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.webhooks.changes import append, generated_secret, load
from shared.commands.write_through import remember_webhook
from shared.domain.actor import Actor
from shared.domain.timestamps import timestamp
from shared.domain.webhook.provider_rules import ProviderRules, secret_problems
from shared.errors import Problem, UnprocessableError
from shared.events.webhook import WebhookSecretRotated
from shared.json_types import JsonObject

MAX_GRACE_SECONDS = 30 * 86_400


class RotateWebhookSecret(Command):
    """A new secret, and how long the present one still verifies. Without a secret, one is generated."""

    secret: SecretStr | None = Field(None, min_length=1, max_length=8000)
    grace_seconds: int = Field(86_400, ge=0, le=MAX_GRACE_SECONDS)


async def rotate_webhook_secret(
    services: Services, actor: Actor, webhook_id: str, command: RotateWebhookSecret, rules: ProviderRules | None
) -> JsonObject:
    """`{id, secret, previous_secret_expires_at}`; the secret is never shown again. Raises `NotFoundError`, and
    `UnprocessableError` for a secret that does not have the provider's form."""
    given_secret = None if command.secret is None else command.secret.get_secret_value()
    if rules is None or not rules.takes_secret:
        raise UnprocessableError("Webhooks of this provider have no secret.")
    problems = secret_problems(rules, given_secret)
    secret = given_secret or generated_secret(rules)
    if secret is None:
        problems = [Problem("/secret", "The provider makes this secret: it must be given.", rules.where or None)]
    if problems or secret is None:
        raise UnprocessableError("The secret cannot be used.", problems=tuple(problems))

    async def attempt() -> str | None:
        current, _ = await load(services, actor.tenant_id, webhook_id)
        # After `load`, whose stream version the append expects: a rotation between the two makes it conflict, so that
        # the secret kept here is the one that this rotation replaces.
        row = await services.webhooks.for_intake(webhook_id)
        # Still encrypted: it moves from one column to another.
        previous = row.get("secret") if row else None
        expires_at = None
        if previous and command.grace_seconds:
            expires_at = timestamp(time.time() + command.grace_seconds)
        fact = WebhookSecretRotated(previous_secret_expires_at=expires_at)
        previous = previous if expires_at else None
        changed = await append(services, actor, current, [fact], secret, previous_secret=previous)
        return changed.previous_secret_expires_at

    expires_at = await retry_on_conflict(attempt)
    await remember_webhook(services, webhook_id)
    return {"id": webhook_id, "secret": secret, "previous_secret_expires_at": expires_at}
