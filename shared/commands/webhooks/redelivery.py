"""Makes a new run of a delivery in the log, for the commands that redeliver one or many."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.bootstrap import Services
from shared.commands.new_events import new_events, now
from shared.commands.webhooks.changes import load
from shared.domain.actor import Actor
from shared.domain.webhook.delivery import body_value, entry_of_run, queued_with
from shared.domain.webhook.state import Webhook
from shared.errors import NotPublishedError
from shared.ids import derived_id, new_id
from shared.json_types import JsonObject
from shared.repositories.append import Append
from shared.repositories.run_append import first_append
from shared.repositories.webhooks import REDELIVERY_PREFIX

if TYPE_CHECKING:
    from shared.repositories.row_types import DeliveryRow


@dataclass(frozen=True, slots=True)
class Redelivery:
    """The new run of a delivery, not stored yet; storing it twice under one key changes nothing."""

    execution_id: str
    delivery_id: str
    append: Append
    size_bytes: int


def has_verified(delivery: DeliveryRow) -> bool:
    """Whether the delivery passed its webhook's check.

    Rows older than the column have a delivery key exactly where it did, as the key was computed after the check. For an
    old redelivery it is unknown, which counts as unverified.
    """
    if delivery["verified"] is not None:
        return bool(delivery["verified"])
    key: str | None = delivery["delivery_key"]
    return key is not None and not key.startswith(REDELIVERY_PREFIX)


async def published_webhook(services: Services, actor: Actor, webhook_id: str) -> Webhook:
    """The tenant's webhook; raises `NotFoundError`, and `NotPublishedError` where its workflow is not published."""
    webhook, _ = await load(services, actor.tenant_id, webhook_id)
    workflow = await services.workflows.get(actor.tenant_id, webhook.workflow_id)
    if workflow is None or not workflow["published_version"]:
        raise NotPublishedError
    return webhook


async def redelivery(
    services: Services, actor: Actor, webhook: Webhook, delivery: DeliveryRow, idempotency_key: str | None
) -> Redelivery | None:
    """The delivery's new run, due at once; `None` where its body was not kept."""
    content = await _content(services, actor.tenant_id, delivery)
    if content is None:
        return None
    # Under an idempotency key the ids are derived from the delivery, so that each delivery has one run.
    execution_id, delivery_id = new_id(), new_id()
    if idempotency_key is not None:
        execution_id = derived_id("redelivery", webhook.id, delivery["id"], idempotency_key)
        delivery_id = derived_id("redelivered", execution_id)
    happened_at = now()
    record = {
        "workflow_id": webhook.workflow_id,
        "node_id": webhook.node_id,
        "webhook_id": webhook.id,
        "provider": webhook.provider,
        "delivery_id": delivery_id,
        "delivery_key": f"{REDELIVERY_PREFIX}{execution_id}",
        "event_type": delivery["event_type"],
        "received_at": happened_at,
        "method": content.method,
        "headers": delivery["headers"],
        "query": content.query,
        "body_sha256": delivery["body_sha256"],
        "size_bytes": delivery["size_bytes"],
        "verified": has_verified(delivery),
    }
    events = new_events(actor, happened_at, queued_with(record, content.body))
    entry = entry_of_run(record, actor.tenant_id, execution_id)
    append = first_append(actor.tenant_id, execution_id, events, deliveries=(entry,))
    return Redelivery(execution_id, delivery_id, append, delivery["size_bytes"])


@dataclass(frozen=True, slots=True)
class _Content:
    """A delivery's content as a run sees it."""

    body: object
    method: str | None
    query: JsonObject


async def _content(services: Services, tenant_id: str, delivery: DeliveryRow) -> _Content | None:
    """The content, from the run that the delivery started or from the stored bytes; `None` where both are missing."""
    if delivery["execution_id"] is not None:
        events = await services.events.read_stream(tenant_id, delivery["execution_id"], limit=1)
        if events and events[0].event_type == "ExecutionQueued":
            trigger = events[0].payload["trigger"]
            return _Content(trigger.get("body"), trigger.get("method", "POST"), trigger.get("query", {}))
    sha256 = delivery["body_sha256"]
    if sha256 is None or (delivery["count"] > 1 and not delivery["size_bytes"]):
        return None  # counted deliveries of a flood have no stored content
    raw = b""
    if delivery["size_bytes"]:
        encoded = await services.webhooks.delivery_body(tenant_id, sha256)
        if encoded is None:
            return None
        raw = base64.b64decode(encoded)
    body = body_value(raw, delivery["headers"].get("content-type", ""))
    return _Content(body, delivery["method"] or "POST", delivery["query"] or {})
