"""A delivery as its provider would send it, before it is signed: out of the provider's file, made new."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from local.signing.field_writer import chosen, write_field
from shared.domain.webhook.delivery import JWT, body_value
from shared.ids import new_id
from shared.json_types import JsonMapping
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.provider import fitted_data
from shared.webhooks.signatures.encodings import ENCODERS
from shared.webhooks.signatures.fields import parse_field

JSON = "application/json"


def sample_delivery(
    data: JsonMapping, config: JsonMapping, url: str, payload: bytes | None, event: str | None
) -> Delivery:
    """The delivery to the webhook's URL, with a new id, so that it is no duplicate of the one before.

    Headers, and the body unless `payload` is one, are those of the good vector in the provider's file, where the
    configuration has the provider sign as it does there. `event` becomes its type.
    """
    vector = data.get("vectors", {}).get("good", {})
    sample = vector if vector.get("config", {}).get("variant") == config.get("variant") else {}
    headers = {name.lower(): text for name, text in sample.get("headers", {}).items()}
    headers.setdefault("content-type", JSON)
    body = _said(sample.get("body", "").encode()) if payload is None else payload
    if payload is None and headers["content-type"] == JSON and not body.startswith((b"{", b"[")):
        body = b'{"type": "test"}'
    parts = urlsplit(url)
    query = {**sample.get("query", {}), **dict(parse_qsl(parts.query, keep_blank_values=True))}
    bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    delivery = Delivery("POST", headers, body, query, bare, config, raw_query=urlencode(query))
    fitted = fitted_data(data, config)
    if event is not None:
        delivery = _typed(delivery, fitted, event)
    return _new(delivery, fitted)


def forged(delivery: Delivery) -> Delivery:
    """The delivery with another body than the one that was signed."""
    claims = body_value(delivery.body, JWT)
    if isinstance(claims, dict):
        head, _, signature = delivery.body.split(b".")
        payload = ENCODERS["base64url"](json.dumps({**claims, "forged": True}).encode())
        return replace(delivery, body=b".".join((head, payload.encode(), signature)))
    try:
        value = json.loads(delivery.body)
    except ValueError:
        form = delivery.headers.get("content-type", "").startswith("application/x-www-form")
        return replace(delivery, body=delivery.body + (b"&forged=1" if form else b"x"))
    changed = {**value, "forged": True} if isinstance(value, dict) else [value, "forged"]
    return replace(delivery, body=json.dumps(changed).encode())


def _said(body: bytes) -> bytes:
    """The claims of a body that is a token, which is signed again; any other body unchanged."""
    claims = body_value(body, JWT)
    return json.dumps(claims).encode() if isinstance(claims, dict) else body


def _typed(delivery: Delivery, fitted: JsonMapping, event: str) -> Delivery:
    """The delivery of this type: `push` or, where the type has several parts, `pull_request.opened`."""
    places = _texts(fitted.get("event", {}).get("type", ()))
    if not places:
        raise ValueError(f"{fitted['title']} does not say what type an event has.")
    parts = event.split(".", len(places) - 1) if len(places) > 1 else [event]
    for place, part in zip(places, parts, strict=False):
        delivery = write_field(delivery, chosen([place], delivery), part)
    return delivery


def _new(delivery: Delivery, fitted: JsonMapping) -> Delivery:
    """The delivery with a new id wherever one stands; where there is none, with a body that was never sent."""
    for place in _texts(fitted.get("delivery", {}).get("id", ())):
        at = chosen([place], delivery)
        if at.startswith(("header:", "query:", "json:", "form:")) and not _is_derived(at):
            old = parse_field(at)(delivery)
            return write_field(delivery, at, str(time.time_ns()) if old is not None and old.isdigit() else new_id())
    unidentified = {b"{": "json:sample_id", b"[": "json:[].sample_id"}.get(delivery.body[:1])
    return write_field(delivery, unidentified, new_id()) if unidentified else delivery


def _is_derived(place: str) -> bool:
    return any(not change.startswith("json:") for change in place.split("|")[1:])


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
