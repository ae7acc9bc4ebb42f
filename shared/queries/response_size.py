"""Keeps responses within a Lambda function's limit of 6 MB: one event alone may be larger."""

from __future__ import annotations

import json
from collections.abc import Iterable

from shared.domain.json.values import sent_bytes
from shared.json_types import JsonObject

# The limit of a body as it is sent; the rest is for headers, and for the marks of omitted values.
MAX_ANSWER_BYTES = 5_500_000
# Once anything is omitted, every value larger than the first is; values smaller than the second are never omitted.
LARGE_BYTES = 65_536
LEAST_BYTES = 64


def answer_bytes(value: object) -> int:
    """How many bytes the value takes in a response."""
    return sent_bytes(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def fitting(items: list[JsonObject]) -> list[JsonObject]:
    """The first events that fit into one response; at least one, without its largest values if need be."""
    total = 0
    for count, item in enumerate(items):
        total += answer_bytes(item)
        if total > MAX_ANSWER_BYTES:
            return items[:count] or [_without_largest(item)]
    return items


def omit_largest(answer: JsonObject, parts: Iterable[tuple[JsonObject, str]]) -> bool:
    """Omits values from an answer that is too large; whether it fits then. `parts` are the (object, name) of the values
    that may be omitted: all large ones are, and of the others as many as necessary, the largest first. An omitted value
    becomes `null`, and `<name>_omitted` beside it is true."""
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


def _without_largest(event: JsonObject) -> JsonObject:
    """The event without the largest members of its payload, and of the objects directly in it."""
    payload = {name: dict(value) if isinstance(value, dict) else value for name, value in event["payload"].items()}
    shown = {**event, "payload": payload}
    inner = [(value, name) for value in payload.values() if isinstance(value, dict) for name in value]
    outer = [(payload, name) for name, value in payload.items() if not isinstance(value, dict)]
    if not omit_largest(shown, [*inner, *outer]):
        shown["payload"] = {"payload_omitted": True}
    return shown
