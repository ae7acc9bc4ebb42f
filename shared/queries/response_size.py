"""Answers that fit: a Lambda function's response may have 6 MB, and one event alone may have many more."""

from __future__ import annotations

import json
from collections.abc import Iterable

from shared.domain.json.values import sent_bytes
from shared.json_types import JsonObject

# As they are sent; the rest is for the headers, and for what says what is left out.
MAX_ANSWER_BYTES = 5_500_000
# Where something is left out, all that is larger than this is; and nothing is won by leaving out less than this.
LARGE_BYTES = 65_536
LEAST_BYTES = 64


def answer_bytes(value: object) -> int:
    """How many bytes the value takes in an answer."""
    return sent_bytes(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def fitting(items: list[JsonObject]) -> list[JsonObject]:
    """As many of the first events as fit into one answer; at least one, without its largest values if need be."""
    total = 0
    for count, item in enumerate(items):
        total += answer_bytes(item)
        if total > MAX_ANSWER_BYTES:
            return items[:count] or [_lightened(item)]
    return items


def omit_largest(answer: JsonObject, parts: Iterable[tuple[JsonObject, str]]) -> bool:
    """Whether the answer fits, now that of these members of objects in it the large ones are left out if it did not,
    and of the others as many as must be, the largest first. Each is `null` then, and `<name>_omitted` beside it is
    true."""
    excess = answer_bytes(answer) - MAX_ANSWER_BYTES
    if excess <= 0:
        return True
    sized = sorted(((answer_bytes(owner[name]), owner, name) for owner, name in parts), key=lambda member: -member[0])
    for size, owner, name in sized:
        if size <= (LARGE_BYTES if excess <= 0 else LEAST_BYTES):
            break
        owner[name], owner[f"{name}_omitted"] = None, True
        excess -= size - LEAST_BYTES
    return excess <= 0


def _lightened(event: JsonObject) -> JsonObject:
    """The event with the largest members of its payload, and of the objects right in it, left out."""
    payload = {name: dict(value) if isinstance(value, dict) else value for name, value in event["payload"].items()}
    shown = {**event, "payload": payload}
    inner = [(value, name) for value in payload.values() if isinstance(value, dict) for name in value]
    outer = [(payload, name) for name, value in payload.items() if not isinstance(value, dict)]
    if not omit_largest(shown, [*inner, *outer]):
        shown["payload"] = {"payload_omitted": True}
    return shown
