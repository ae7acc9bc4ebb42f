"""The delivery log's entries: what became of each delivery. Every entry is made here, so that all text in it can be
stored."""

from __future__ import annotations

import json
import re
from typing import Literal, NotRequired, TypedDict

from shared.domain.json.values import storable
from shared.domain.timestamps import timestamp, unix_seconds
from shared.ids import is_uuid
from shared.json_types import JsonMapping

# The outcome of a delivery.
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
# Verdicts that only a verified delivery gets. A handshake may be verified or not; `accepted` is verified unless its
# entry says otherwise.
PROVEN: frozenset[str] = frozenset({"duplicate", "filtered", "throttled", "paused", "unpublished", "held"})

# The reason is one sentence for the webhook's owner.
MAX_REASON_CHARACTERS = 500
# Postgres's `integer`.
_MAX_INTEGER = 2**31 - 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("reason", "delivery_key", "event_type", "method")


class DeliveryLogEntry(TypedDict):
    """A row of `webhook_deliveries`. `verified`: the delivery passed its webhook's check; unset where that is unknown.
    `body` is in base64, set where it is kept; `count` is how many deliveries the entry stands for."""

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
    """The entry of a delivery (see `shared.domain.webhook.delivery`), with text that can be stored. Where no run was
    started, the entry also has the method and the query, which no event has."""
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
    """The entry that stands for `number` deliveries of a flood, counted under `<tenant> <webhook> <verdict> <minute>`
    (Unix seconds); a malformed counter raises `ValueError`."""
    tenant_id, webhook_id, verdict, minute = field.split(" ")
    # `int` would also take signs, underscores and spaces, which Redis's counter never writes.
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
    """The entry in a JSON text; raises `ValueError` where it is malformed."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return read_log_entry(value)


def read_log_entry(row: JsonMapping) -> DeliveryLogEntry:
    """The entry of a delivery that started no run, from untrusted JSON; a field that does not fit raises
    `ValueError`."""
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
