"""What the commands about webhooks share: checks of references and configuration, secrets, and the append."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pydantic import Field, SecretStr

from shared.aws.secrets import decrypt, encrypt
from shared.bootstrap import Services
from shared.commands.command import Command, Name, Uuid
from shared.commands.new_events import new_events, now
from shared.domain.actor import Actor
from shared.domain.webhook import state as webhook
from shared.domain.webhook.provider_rules import (
    SECRET_BYTES,
    ProviderRules,
    missing_secret,
    new_secret,
    secret_context,
    secret_problems,
)
from shared.domain.webhook.state import Webhook
from shared.errors import NotFoundError, Problem, UnprocessableError
from shared.events.webhook import WebhookFact
from shared.json_types import JsonObject
from shared.repositories.append import Append
from shared.repositories.rows import columns


class WebhookDescription(Command):
    """Which provider delivers to which workflow's trigger node, and how."""

    name: Name
    workflow_id: Uuid
    node_id: str | None = Field(
        None, min_length=1, max_length=200, description="The trigger node; unset: the workflow's only webhook trigger."
    )
    provider: str = Field(min_length=1, max_length=100, description="An id of the provider catalog.")
    config: JsonObject = Field(default_factory=dict, description="The options of the provider's scheme.")
    secret: SecretStr | None = Field(None, min_length=1, max_length=8000, description="It is never shown again.")

    @property
    def given_secret(self) -> str | None:
        """The secret's text; unset when none was given."""
        return None if self.secret is None else self.secret.get_secret_value()


async def check(services: Services, tenant_id: str, command: WebhookDescription, rules: ProviderRules | None) -> None:
    """Raises `UnprocessableError` with every problem of the provider, secret, configuration, workflow and node."""
    problems: list[Problem] = []
    if rules is None:
        problems.append(
            Problem("/provider", f"There is no provider {command.provider!r}.", "See GET /api/webhook-providers.")
        )
    else:
        problems += secret_problems(rules, command.given_secret)
        problems += [
            Problem(f"/config{problem.pointer}", problem.message, problem.suggestion)
            for problem in rules.config_problems(command.config)
        ]
    workflow = await services.workflows.get(tenant_id, command.workflow_id)
    if workflow is None or workflow["status"] == "archived":
        problems.append(Problem("/workflow_id", "There is no such workflow."))
    else:
        problems += _node_problems(workflow["nodes"], command.node_id)
    if problems:
        raise refused(*problems)


def refused(*problems: Problem) -> UnprocessableError:
    """The error that lists these problems of a webhook."""
    return UnprocessableError("The webhook cannot be saved like this.", problems=problems)


async def sealed(tenant_id: str, webhook_id: str, secret: str) -> str:
    """The secret encrypted for this webhook's row."""
    return await encrypt(secret, secret_context(tenant_id, webhook_id))


async def stored_secret(services: Services, tenant_id: str, webhook_id: str) -> str | None:
    """The webhook's present secret, decrypted; `None` where it has none."""
    row = await services.webhooks.for_intake(webhook_id)
    sealed_secret = row["secret"] if row else None
    return None if sealed_secret is None else await decrypt(sealed_secret, secret_context(tenant_id, webhook_id))


def generated_secret(rules: ProviderRules) -> str | None:
    """A new secret; `None` where the provider's scheme needs none."""
    return new_secret(rules, os.urandom(SECRET_BYTES))


def status_of(wanted: str, rules: ProviderRules, *, has_secret: bool) -> str:
    """The status of a webhook for which `wanted` was requested; `UnprocessableError` where its secret is missing.

    A webhook whose provider sends the secret in a handshake becomes `awaiting_secret` by itself.
    """
    if not rules.takes_secret:
        if wanted == "awaiting_secret":
            raise refused(Problem("/status", f"Webhooks of {rules.id} have no secret to wait for."))
        return wanted
    # With its secret there is nothing left to wait for.
    if has_secret:
        return "active" if wanted == "awaiting_secret" else wanted
    if wanted != "awaiting_secret" and (rules.must_be_given or rules.needs_secret):
        raise refused(missing_secret(rules))
    return "awaiting_secret" if wanted == "active" else wanted


async def load(services: Services, tenant_id: str, webhook_id: str) -> tuple[Webhook, str | None]:
    """The tenant's webhook, and when it was last triggered; an unknown or deleted one raises `NotFoundError`."""
    row = await services.webhooks.get(tenant_id, webhook_id)
    if row is None:
        raise NotFoundError("There is no such webhook.")
    return Webhook(**columns(row, Webhook.__slots__)), row["last_triggered_at"]


async def held_workflows(services: Services, current: Webhook) -> Sequence[str]:
    """The workflows for which the webhook holds deliveries; none for one that is active."""
    if current.status == "active":
        return []
    return await services.executions.held_workflows(current.tenant_id, current.id)


async def append(
    services: Services,
    actor: Actor,
    before: Webhook,
    facts: Sequence[WebhookFact],
    secret: str | None = None,
    previous_secret: str | None = None,
) -> Webhook:
    """The webhook after the facts, which are stored with its row and its new `secret`, if any. `previous_secret` is the
    old one, encrypted. A concurrent change raises `StreamConflictError`."""
    happened_at, after = now(), before
    for fact in facts:
        after = webhook.apply(after, fact, actor.tenant_id, before.id, happened_at)
    await services.events.append_one(
        Append(
            tenant_id=actor.tenant_id,
            stream_id=before.id,
            stream_type="webhook",
            expected_version=before.stream_version,
            events=new_events(actor, happened_at, *facts),
            row=webhook.row(after),
            secret={
                "secret": await sealed(actor.tenant_id, before.id, secret),
                "previous_secret": previous_secret,
                "previous_secret_expires_at": after.previous_secret_expires_at,
            }
            if secret
            else None,
        )
    )
    return after


def _node_problems(nodes: list[JsonObject], node_id: str | None) -> list[Problem]:
    """The problems of `node_id`. A workflow without any webhook trigger is none: its draft may still get one."""
    triggers = [node["id"] for node in nodes if node.get("type") == "webhook_trigger"]
    known = f"Its webhook triggers: {', '.join(triggers)}." if triggers else "It has no webhook trigger yet."
    if node_id is None and len(triggers) > 1:
        return [Problem("/node_id", "The workflow has several webhook triggers; say which.", known)]
    if node_id is not None and node_id not in triggers:
        return [Problem("/node_id", f"The workflow has no webhook trigger {node_id!r}.", known)]
    return []
