"""What an accepted delivery becomes: the first fact of its run, and its line in the delivery log."""

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

# The content type that deliveries get whose body is a token (RFC 7519, section 10.3.1), whatever the sender wrote.
JWT = "application/jwt"


class DeliveryRecord(TypedDict):
    """A delivery as it stands in its job. `body` is the body's text, or its bytes in base64, as `body_encoding` says;
    every other text is one that the database keeps. `verified` is unset where the delivery passed its webhook's check.
    `correlation_id` and `trace` say what led to it."""

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
    """The delivery in text that the database keeps: the one way to make a record."""
    # The body's text stays as it was sent: its signature may be checked again, and a run sees what is read in it.
    without_body: DeliveryRecord = {**record, "body": ""}
    return {**storable(without_body), "body": record["body"]}


def identified(
    record: DeliveryRecord, delivery_key: str, event_type: str | None, *, keep_raw_body: bool
) -> DeliveryRecord:
    """The record of a delivery that was accepted under this key, as an event of this type."""
    accepted: DeliveryRecord = {**record, "delivery_key": storable(delivery_key), "event_type": storable(event_type)}
    if keep_raw_body:
        accepted["keep_raw_body"] = True
    return accepted


def body_bytes(delivery: JsonMapping) -> bytes:
    """The bytes that the provider sent."""
    body: str = delivery["body"]
    return base64.b64decode(body) if delivery["body_encoding"] == "base64" else body.encode()


def body_value(raw: bytes, content_type: str) -> object:
    """What a run sees of a delivery's body. Of a token, what it says: the delivery has been verified as a whole."""
    if content_type != JWT:
        return parse_body(raw, content_type)
    parts = raw.strip().split(b".")
    try:
        return read_json(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError, InvalidRequestError):
        return parse_body(raw, content_type)


def queued(delivery: DeliveryRecord) -> ExecutionQueued:
    """The fact that begins the run of a delivery, as it stands in its job. The version is pinned when it starts."""
    return queued_with(delivery, body_value(body_bytes(delivery), delivery["content_type"]))


def queued_with(delivery: JsonMapping, body: object) -> ExecutionQueued:
    """The same where what its run sees of the body is known already."""
    from shared.events.execution import ExecutionQueued  # intake, which asks for this rarely, starts without all events

    # Runs of what did not verify are rare, and say so; what all others would say costs room in each.
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
    """The line of a delivery that starts a run, with its `body` in base64 where the webhook keeps raw bytes."""
    from shared.domain.webhook.delivery_log import log_entry  # intake, which notes few, starts without it

    row = log_entry(delivery, tenant_id, execution_id, verdict, None, delivery.get("verified", True))
    if delivery.get("keep_raw_body") and delivery["size_bytes"]:
        row["body"] = base64.b64encode(body_bytes(delivery)).decode()
    return row


def entry_without_run(
    delivery: JsonMapping, tenant_id: str, verdict: str, reason: str | None, verified: bool
) -> DeliveryLogEntry:
    """The line of a delivery that started no run; `verified` says whether it passed its webhook's check."""
    from shared.domain.webhook.delivery_log import log_entry  # as above

    return log_entry(delivery, tenant_id, None, verdict, reason, verified)
