"""The webhook aggregate: which provider delivers to which trigger, and its status. Secrets are not part of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.domain.timestamps import in_utc
from shared.events.webhook import WebhookCreated, WebhookDeleted, WebhookFact, WebhookSecretRotated, WebhookUpdated
from shared.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook after its events. `node_id` unset means the workflow's only webhook trigger."""

    id: str
    tenant_id: str
    name: str
    workflow_id: str
    node_id: str | None
    provider: str
    config: JsonObject
    status: str
    previous_secret_expires_at: str | None
    stream_version: int
    created_at: str
    updated_at: str


def apply(webhook: Webhook | None, fact: WebhookFact, tenant_id: str, webhook_id: str, happened_at: str) -> Webhook:
    """The webhook after one more fact; the first is `WebhookCreated`, else it raises `ValueError`."""
    happened_at = in_utc(happened_at) or happened_at
    if isinstance(fact, WebhookCreated):
        return Webhook(
            id=webhook_id,
            tenant_id=tenant_id,
            name=fact.name,
            workflow_id=fact.workflow_id,
            node_id=fact.node_id,
            provider=fact.provider,
            config=fact.config,
            status=fact.status,
            previous_secret_expires_at=None,
            stream_version=1,
            created_at=happened_at,
            updated_at=happened_at,
        )
    if webhook is None:
        raise ValueError(f"The stream of webhook {webhook_id} does not begin with WebhookCreated.")
    webhook = replace(webhook, stream_version=webhook.stream_version + 1, updated_at=happened_at)
    match fact:
        case WebhookUpdated():
            return replace(
                webhook,
                name=fact.name,
                workflow_id=fact.workflow_id,
                node_id=fact.node_id,
                provider=fact.provider,
                config=fact.config,
                status=fact.status,
            )
        case WebhookSecretRotated():
            # The secret that it was waiting for.
            status = "active" if webhook.status == "awaiting_secret" else webhook.status
            expires_at = in_utc(fact.previous_secret_expires_at)
            return replace(webhook, status=status, previous_secret_expires_at=expires_at)
        case WebhookDeleted():
            return replace(webhook, status="deleted")


def row(webhook: Webhook) -> JsonObject:
    """The webhook's row in `webhooks`, without its secrets."""
    return {name: getattr(webhook, name) for name in Webhook.__slots__}
