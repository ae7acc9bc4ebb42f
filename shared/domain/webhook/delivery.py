"""An accepted delivery: its record in the job, the first fact of its run, and its entry in the delivery log."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from shared.domain.json.body_parsing import parse_body, read_json
from shared.domain.json.values import storable
from shared.errors import InvalidRequestError
from shared.json_types import JsonMapping

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.events.execution import ExecutionQueued

# The content type of deliveries whose body is a JWT (RFC 7519, section 10.3.1), whatever the sender wrote.
JWT = "application/jwt"


class DeliveryRecord(TypedDict):
    """A delivery as its job carries it. `body` is the body's text or, by `body_encoding`, its bytes in base64; every
    other text can be stored (no NUL, no half surrogate pair). `verified` is unset where the delivery passed its
    webhook's check. `correlation_id` and `trace` are the tracing context of its request."""

    workflow_id: str
    node_id: str | None
    webhook_id: str
    provider: str
    delivery_id: str
    delivery_key: str | None
    event_type: str | None
    received_at: str
    method: str
    headers: dict[str, str]
    query: dict[str, str]
    body: str
    body_encoding: Literal["utf8", "base64"]
    body_sha256: str
    size_bytes: int
    content_type: str
    keep_raw_body: NotRequired[bool]
    verified: NotRequired[bool]
    correlation_id: NotRequired[str]
    trace: NotRequired[str]


def delivery_record(record: DeliveryRecord) -> DeliveryRecord:
    """The record with text that can be stored. Every record is made here."""
    # The body's text stays as it was sent: its signature may be checked again, and a run sees the parsed body.
    without_body: DeliveryRecord = {**record, "body": ""}
    return {**storable(without_body), "body": record["body"]}


def identified(
    record: DeliveryRecord, delivery_key: str, event_type: str | None, *, keep_raw_body: bool
) -> DeliveryRecord:
    """The record of an accepted delivery, with its delivery key and event type."""
    accepted: DeliveryRecord = {**record, "delivery_key": storable(delivery_key), "event_type": storable(event_type)}
    if keep_raw_body:
        accepted["keep_raw_body"] = True
    return accepted


def body_bytes(delivery: JsonMapping) -> bytes:
    """The bytes that the provider sent."""
    body: str = delivery["body"]
    return base64.b64decode(body) if delivery["body_encoding"] == "base64" else body.encode()


def body_value(raw: bytes, content_type: str) -> object:
    """A delivery's body as its run sees it. Of a JWT, the claims: the token has been verified already."""
    if content_type != JWT:
        return parse_body(raw, content_type)
    parts = raw.strip().split(b".")
    try:
        return read_json(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, InvalidRequestError):
        return parse_body(raw, content_type)


def queued(delivery: DeliveryRecord) -> ExecutionQueued:
    """The fact that queues the run of a delivery. The workflow's version is pinned when the run starts."""
    return queued_with(delivery, body_value(body_bytes(delivery), delivery["content_type"]))


def queued_with(delivery: JsonMapping, body: object) -> ExecutionQueued:
    """The same, with the body as the run sees it."""
    from shared.events.execution import ExecutionQueued  # intake rarely needs it, and starts without the events

    # Unverified deliveries are rare: only they carry the flag, so that all other triggers stay smaller.
    unverified = {} if delivery.get("verified", True) else {"verified": False}
    return ExecutionQueued(
        workflow_id=delivery["workflow_id"],
        workflow_version=None,
        trigger={
            "type": "webhook",
            "node_id": delivery["node_id"],
            "body": body,
            "headers": delivery["headers"],
            "query": delivery["query"],
            "method": delivery["method"],
            "webhook_id": delivery["webhook_id"],
            "provider": delivery["provider"],
            "delivery_id": delivery["delivery_id"],
            "delivery_key": delivery["delivery_key"],
            "event_type": delivery["event_type"],
            **unverified,
        },
    )


def entry_of_run(
    delivery: JsonMapping, tenant_id: str, execution_id: str, verdict: str = "accepted"
) -> DeliveryLogEntry:
    """The log entry of a delivery that starts a run, with its `body` in base64 where the webhook keeps raw bytes."""
    from shared.domain.webhook.delivery_log import log_entry  # intake logs few deliveries itself, and starts without it

    row = log_entry(delivery, tenant_id, execution_id, verdict, None, delivery.get("verified", True))
    if delivery.get("keep_raw_body") and delivery["size_bytes"]:
        row["body"] = base64.b64encode(body_bytes(delivery)).decode()
    return row


def entry_without_run(
    delivery: JsonMapping, tenant_id: str, verdict: str, reason: str | None, verified: bool
) -> DeliveryLogEntry:
    """The log entry of a delivery that started no run; `verified`: it passed its webhook's check."""
    from shared.domain.webhook.delivery_log import log_entry  # as above

    return log_entry(delivery, tenant_id, None, verdict, reason, verified)
