"""Facts about webhooks (stream type `webhook`). Secrets are never in them: they live, encrypted, in the row alone."""

from __future__ import annotations

from dataclasses import dataclass

from shared.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class WebhookCreated:
    """A webhook was registered for a workflow's trigger node (`node_id` unset: the only webhook trigger)."""

    name: str
    workflow_id: str
    node_id: str | None
    provider: str
    config: JsonObject
    status: str


@dataclass(frozen=True, slots=True)
class WebhookUpdated:
    """The webhook's description was replaced."""

    name: str
    workflow_id: str
    node_id: str | None
    provider: str
    config: JsonObject
    status: str


@dataclass(frozen=True, slots=True)
class WebhookSecretRotated:
    """A new secret took over; the previous one verifies until `previous_secret_expires_at` (unset: not at all)."""

    previous_secret_expires_at: str | None


@dataclass(frozen=True, slots=True)
class WebhookDeleted:
    """The webhook was removed; its deliveries stay in the delivery log."""


WebhookFact = WebhookCreated | WebhookUpdated | WebhookSecretRotated | WebhookDeleted
