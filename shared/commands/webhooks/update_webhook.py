"""Replace a webhook's description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from shared.bootstrap import Services
from shared.commands.command import Moment
from shared.commands.enqueue_resume import request_drain
from shared.commands.optimistic_retry import retry_on_conflict
from shared.commands.replacement import SHOWN, SUGGESTION, Replacement, changed_problems
from shared.commands.webhooks.changes import (
    WebhookDescription,
    append,
    check,
    held_workflows,
    load,
    refused,
    status_of,
    stored_secret,
)
from shared.commands.write_through import remember_webhook
from shared.domain.actor import Actor
from shared.domain.webhook import state as webhook
from shared.domain.webhook.config import replacement_config, requested_config
from shared.domain.webhook.provider_rules import ProviderRules, secret_problems
from shared.domain.webhook.state import Webhook
from shared.errors import NotPublishedError, Problem, UnprocessableError
from shared.events.webhook import WebhookFact, WebhookSecretRotated, WebhookUpdated
from shared.json_types import JsonObject


class UpdateWebhook(WebhookDescription, Replacement):
    """The webhook's new description. A secret replaces the present one at once; without one, it stays. One that was
    awaiting its secret is active once it has it. One that becomes active after `holding` has its held deliveries run,
    in the order in which they came. Other fields that GET shows may be sent back, `id`, `url` and `created_at`
    unchanged."""

    status: Literal["active", "paused", "holding", "awaiting_secret"] = "active"
    url: Annotated[str | None, SHOWN] = None
    last_triggered_at: Annotated[Moment | None, SHOWN] = None
    config_problems: Annotated[list[JsonObject] | None, SHOWN] = None


async def update_webhook(
    services: Services, actor: Actor, webhook_id: str, command: UpdateWebhook, rules: ProviderRules | None
) -> JsonObject:
    """The webhook's row after the change.

    The provider is part of the webhook's address and cannot change, nor can the read-only fields. Raises
    `NotFoundError`, `UnprocessableError` with a pointer to each problem, and `NotPublishedError` where deliveries are
    held for a workflow that is not published.
    """

    async def attempt() -> tuple[JsonObject, bool]:
        current, last_triggered_at = await load(services, actor.tenant_id, webhook_id)
        _refuse_another_address(command, current)
        config = requested_config(command.config, current.config)
        await check(services, actor.tenant_id, command.model_copy(update={"config": config}), rules)
        assert rules is not None, "check refuses unknown providers"
        secret = command.given_secret or await stored_secret(services, actor.tenant_id, webhook_id)
        # Another configuration may want another kind of secret, under which the present one would verify nothing.
        if rules.takes_secret and secret_problems(rules, secret):
            raise refused(
                Problem("/secret", "The present secret does not fit this configuration.", rules.where or None)
            )
        status = status_of(command.status, rules, has_secret=secret is not None)
        # Becoming active releases what is held: its runs become due in the append's transaction.
        held = await held_workflows(services, current) if status == "active" else []
        await _refuse_unrunnable(services, actor.tenant_id, held)
        facts = _facts(command, replacement_config(config, current.config), status)
        changed = await append(services, actor, current, facts, command.given_secret)
        return {**webhook.row(changed), "last_triggered_at": last_triggered_at}, bool(held)

    row, has_released = await retry_on_conflict(attempt)
    await remember_webhook(services, webhook_id)
    if has_released:
        await request_drain(services)
    return row


def _refuse_another_address(command: UpdateWebhook, current: Webhook) -> None:
    """Raises `UnprocessableError` where the webhook's identity or address in the request is another one's."""
    if command.provider != current.provider:
        message = f"The provider is {current.provider} and cannot change."
        raise UnprocessableError(message, problems=(Problem("/provider", message, "Create another webhook."),))
    problems = changed_problems(command, {"id": current.id, "created_at": current.created_at})
    # The URL's beginning depends on how the service was reached.
    path = f"/webhooks/{current.id}/{current.provider}"
    if command.url is not None and not command.url.endswith(path):
        problems.append(Problem("/url", f"It ends with {path} and cannot change.", SUGGESTION))
    if problems:
        raise refused(*problems)


async def _refuse_unrunnable(services: Services, tenant_id: str, workflow_ids: Sequence[str]) -> None:
    """Raises `NotPublishedError` where a workflow with held deliveries has no published version."""
    for workflow_id in workflow_ids:
        workflow = await services.workflows.get(tenant_id, workflow_id)
        if workflow is None or workflow["published_version"] is None:
            raise NotPublishedError(f"It holds deliveries for workflow {workflow_id}, which is not published.")


def _facts(command: UpdateWebhook, config: JsonObject, status: str) -> list[WebhookFact]:
    updated = WebhookUpdated(
        name=command.name,
        workflow_id=command.workflow_id,
        node_id=command.node_id,
        provider=command.provider,
        config=config,
        status=status,
    )
    if command.given_secret is None:
        return [updated]
    return [updated, WebhookSecretRotated(previous_secret_expires_at=None)]
