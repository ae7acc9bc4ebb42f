"""Handshakes: what a provider asks before it delivers, answered as it wants and without a run.

[[handshake]]
about = "A challenge, echoed"      for people
method = "GET"                     of the request
when = { "query:challenge" = "" }  what must stand where; an empty text: anything
signed = false                     whether it must verify like a delivery
status = 200
content_type = "text/plain"
body = "{query:challenge}"         a template; unset: no body
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.webhooks.delivery import Delivery, Source, parse_source
from shared.webhooks.template import Template, parse_template

METHODS = ("GET", "HEAD", "POST")
# Longer answers than any challenge are somebody's attempt to have us say their words.
MAX_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Handshake:
    """One question that a provider asks, and its answer."""

    method: str
    when: tuple[tuple[Source, str], ...]
    signed: bool
    status: int
    content_type: str
    body: Template | None


@dataclass(frozen=True, slots=True)
class HandshakeAnswer:
    """The answer to a handshake."""

    status: int
    content_type: str
    body: bytes


def parse_handshake(data: Mapping[str, Any]) -> Handshake:
    """The handshake in a provider's data; `ValueError` where it is outside the grammar."""
    if data.get("method") not in METHODS:
        raise ValueError(f"handshake.method must be one of {', '.join(METHODS)}.")
    signed = data.get("signed", True)
    if data["method"] == "POST" and not signed and not data.get("when"):
        raise ValueError("An unsigned POST handshake without a condition would answer every delivery.")
    return Handshake(
        method=data["method"],
        when=tuple((parse_source(place), text) for place, text in data.get("when", {}).items()),
        signed=signed,
        status=data.get("status", 200),
        content_type=data.get("content_type", "text/plain"),
        body=parse_template(data["body"]) if data.get("body") else None,
    )


def answer(handshakes: Sequence[Handshake], delivery: Delivery, *, verified: bool) -> HandshakeAnswer | None:
    """The answer to a delivery that is a handshake, else `None`. Signed ones are looked at once `verified`."""
    for handshake in handshakes:
        if handshake.signed is not verified or handshake.method != delivery.method:
            continue
        if all(_holds(source(delivery), wanted) for source, wanted in handshake.when):
            body = b"" if handshake.body is None else handshake.body.render(delivery)
            if body is not None and len(body) <= MAX_ANSWER_BYTES:
                return HandshakeAnswer(handshake.status, handshake.content_type, body)
    return None


def _holds(found: str | None, wanted: str) -> bool:
    return found is not None and wanted in ("", found)
