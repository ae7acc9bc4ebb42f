"""The delivery log's entries: what became of each delivery. Made here alone, so that no text gets in that no database
keeps."""

from __future__ import annotations

import json
import re
from typing import Literal, NotRequired, TypedDict

from shared.domain.json.values import storable
from shared.domain.timestamps import timestamp, unix_seconds
from shared.ids import is_uuid
from shared.json_types import JsonMapping

# What becomes of a delivery.
Verdict = Literal[
    "accepted",
    "duplicate",
    "filtered",
    "throttled",
    "rejected_signature",
    "rejected_stale",
    "rejected_malformed",
    "paused",
    "unpublished",
    "held",
    "handshake",
]
# What only a delivery is that has verified. A handshake may have, and `accepted` is one that has unless its line says
# otherwise.
PROVEN: frozenset[str] = frozenset({"duplicate", "filtered", "throttled", "paused", "unpublished", "held"})

# A sentence for the webhook's owner.
MAX_REASON_CHARACTERS = 500
# Postgres's `integer`.
_MAX_INTEGER = 2**31 - 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("reason", "delivery_key", "event_type", "method")


class DeliveryLogEntry(TypedDict):
    """A row of `webhook_deliveries`. `verified` says whether the delivery passed its webhook's check, unset where
    nobody knows. `body` is in base64, where it is to be kept; `count` is how many deliveries the line stands for."""

    id: str
    tenant_id: str
    webhook_id: str
    received_at: str
    verdict: str
    reason: str | None
    delivery_key: str | None
    event_type: str | None
    execution_id: str | None
    verified: bool | None
    headers: dict[str, str]
    body_sha256: str | None
    size_bytes: int
    method: NotRequired[str | None]
    query: NotRequired[dict[str, str] | None]
    body: NotRequired[str]
    count: NotRequired[int]


def log_entry(
    delivery: JsonMapping,
    tenant_id: str,
    execution_id: str | None,
    verdict: str,
    reason: str | None,
    verified: bool | None,
) -> DeliveryLogEntry:
    """The line of a delivery (see `shared.domain.webhook.delivery`), in text that the database keeps. What no event
    tells of a delivery that started no run stands there too."""
    entry: DeliveryLogEntry = {
        "id": delivery["delivery_id"],
        "tenant_id": tenant_id,
        "webhook_id": delivery["webhook_id"],
        "received_at": delivery["received_at"],
        "verdict": verdict,
        "reason": None if reason is None else reason[:MAX_REASON_CHARACTERS],
        "delivery_key": delivery["delivery_key"],
        "event_type": delivery["event_type"],
        "execution_id": execution_id,
        "verified": verified,
        "headers": delivery["headers"],
        "body_sha256": delivery["body_sha256"],
        "size_bytes": delivery["size_bytes"],
    }
    if execution_id is None:
        entry["method"], entry["query"] = delivery["method"], delivery["query"]
    return storable(entry)


def counted_entry(entry_id: str, field: str, number: str) -> DeliveryLogEntry:
    """The line that stands for `number` deliveries of a flood, counted under `<tenant> <webhook> <verdict> <minute>`;
    `ValueError` where that makes no sense."""
    tenant_id, webhook_id, verdict, minute = field.split(" ")
    # Anything but digits would be a number to Python in ways that Redis's counter never writes.
    if not (minute.isdecimal() and number.isdecimal() and len(minute) < 12 and 0 < int(number) <= _MAX_INTEGER):
        raise ValueError("the minute and the number must be whole numbers")
    entry = read_log_entry(
        {
            "id": entry_id,
            "tenant_id": tenant_id,
            "webhook_id": webhook_id,
            "received_at": timestamp(int(minute)),
            "verdict": verdict,
            "reason": "counted",
            "headers": {},
            "size_bytes": 0,
        }
    )
    entry["count"] = int(number)
    return entry


def parse_log_entry(text: str) -> DeliveryLogEntry:
    """The line in a text that was left for it; `ValueError` where there is none in it."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return read_log_entry(value)


def read_log_entry(row: JsonMapping) -> DeliveryLogEntry:
    """The line of a delivery that started no run in a row from outside; `ValueError` where one of its fields is none
    that a line has."""
    for name in ("id", "tenant_id", "webhook_id"):
        _check(isinstance(row.get(name), str) and is_uuid(row[name]), name)
    _check(isinstance(row.get("received_at"), str) and unix_seconds(row["received_at"]) >= 0, "received_at")
    _check(isinstance(row.get("verdict"), str) and 0 < len(row["verdict"]) <= 64, "verdict")
    _check(row.get("execution_id") is None, "execution_id")
    for name in _TEXTS:
        _check(row.get(name) is None or isinstance(row[name], str), name)
    _check(_has_texts(row.get("headers")), "headers")
    _check(row.get("query") is None or _has_texts(row["query"]), "query")
    sha256, size = row.get("body_sha256"), row.get("size_bytes")
    _check(sha256 is None or (isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256))), "body_sha256")
    _check(isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _MAX_INTEGER, "size_bytes")
    known = {"delivery_id": row["id"], "delivery_key": None, "event_type": None, "method": None, "query": None}
    _check(row.get("verified") is None or isinstance(row["verified"], bool), "verified")
    delivery = {**known, "body_sha256": None, **row}
    return log_entry(delivery, row["tenant_id"], None, row["verdict"], row.get("reason"), row.get("verified"))


def _check(is_sound: bool, name: str) -> None:
    if not is_sound:
        raise ValueError(f"its {name} is not what a line has there")


def _has_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
