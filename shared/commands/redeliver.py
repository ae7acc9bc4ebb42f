"""Run a delivery of the ledger again."""

from __future__ import annotations

import base64
import json
from typing import Any

from shared.commands._webhooks import load
from shared.commands.services import Services
from shared.domain.actor import Actor
from shared.domain.timestamps import timestamp
from shared.errors import NotFoundError, NotPublishedError, UnprocessableError
from shared.ids import new_id
from shared.queue.job import ExecutionJob


async def redeliver(services: Services, actor: Actor, webhook_id: str, delivery_id: str) -> dict[str, Any]:
    """`{execution_id, delivery_id}` of a new run with the same body, headers and query.

    `NotFoundError` for no such delivery; `UnprocessableError` where its body was not kept or nothing would run it. What
    was refused is run as it is: whoever may write webhooks takes that upon himself, and the event feed says who.
    """
    import time

    webhook, _ = await load(services, actor.tenant_id, webhook_id)
    workflow = await services.workflows.get(actor.tenant_id, webhook.workflow_id)
    if workflow is None or not workflow["published_version"]:
        raise NotPublishedError
    row = await services.webhooks.delivery(actor.tenant_id, webhook_id, delivery_id)
    if row is None:
        raise NotFoundError("There is no such delivery.")
    first = await _content(services, actor.tenant_id, row)
    new_delivery_id, execution_id = new_id(), new_id()
    facts = {
        "workflow_id": webhook.workflow_id,
        "node_id": webhook.node_id,
        "webhook_id": webhook_id,
        "provider": webhook.provider,
        "delivery_id": new_delivery_id,
        "delivery_key": f"redelivery:{execution_id}",
        "event_type": row["event_type"],
        "received_at": timestamp(time.time()),
        "headers": row["headers"],
        "body_sha256": row["body_sha256"],
        "size_bytes": row["size_bytes"],
        **first,
    }
    await services.queue.enqueue([ExecutionJob(actor.tenant_id, execution_id, "delivery", facts)])
    return {"execution_id": execution_id, "delivery_id": new_delivery_id}


async def _content(services: Services, tenant_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """What was sent: from the run that it started, else from the bytes that were kept."""
    if row["execution_id"] is not None:
        events = await services.events.read_stream(tenant_id, row["execution_id"], limit=1)
        if events and events[0].event_type == "ExecutionQueued":
            trigger = events[0].payload["trigger"]
            # The run holds the body's value; as JSON it becomes the same value again, whatever it was written in.
            return {
                "method": trigger.get("method", "POST"),
                "query": trigger.get("query", {}),
                "body": json.dumps(trigger.get("body")),
                "body_encoding": "utf8",
                "content_type": "application/json",
            }
    body = await services.webhooks.delivery_body(tenant_id, row["body_sha256"]) if row["body_sha256"] else None
    if body is None and row["size_bytes"]:
        raise UnprocessableError("The body of this delivery was not kept.")
    raw = base64.b64decode(body or "")
    return {
        "method": "POST",
        "query": {},
        "body": base64.b64encode(raw).decode(),
        "body_encoding": "base64",
        "content_type": row["headers"].get("content-type", ""),
    }
