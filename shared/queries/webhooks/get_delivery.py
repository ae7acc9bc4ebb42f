"""One delivery with its body."""

from __future__ import annotations

import base64

from shared.domain.webhook.delivery import body_value
from shared.errors import NotFoundError
from shared.json_types import JsonMapping, JsonObject
from shared.queries.response_size import omit_largest
from shared.queries.webhooks.get_webhook import get_webhook
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.webhooks import WebhookRepository

# Fields that are left out where they are null.
ABSENT = ("reason", "execution_id", "method", "query", "verified")


async def get_delivery(
    webhooks: WebhookRepository, events: EventStoreRepository, tenant_id: str, webhook_id: str, delivery_id: str
) -> JsonObject:
    """The delivery with its `body`: from the first event of the run that it started, else from its stored bytes. Those
    are `raw_body`, in base64, where they were kept. A body that is too large for a response is omitted
    (`body_omitted`).

    Raises `NotFoundError` for an unknown webhook or delivery.
    """
    await get_webhook(webhooks, tenant_id, webhook_id)
    row = await webhooks.delivery(tenant_id, webhook_id, delivery_id)
    if row is None:
        raise NotFoundError("There is no such delivery.")
    shown = view(row)
    raw = await webhooks.delivery_body(tenant_id, row["body_sha256"]) if row["body_sha256"] is not None else None
    if raw is not None:
        shown["body"] = body_value(base64.b64decode(raw), row["headers"].get("content-type", ""))
        shown["raw_body"] = raw
    # The run's body last, since it is what the run has seen.
    if row["execution_id"] is not None:
        first = await events.read_stream(tenant_id, row["execution_id"], limit=1)
        if first and first[0].event_type == "ExecutionQueued":
            shown["body"] = first[0].payload["trigger"].get("body")
    # The raw bytes always fit.
    omit_largest(shown, [(shown, "body")] if "body" in shown else [])
    return shown


def view(row: JsonMapping) -> JsonObject:
    """The delivery as the API shows it."""
    absent = {"webhook_id", *(name for name in ABSENT if row[name] is None)}
    return {name: value for name, value in row.items() if name not in absent}
