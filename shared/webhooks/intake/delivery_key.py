"""What makes a delivery this one and no other, and what kind of event it tells of."""

from __future__ import annotations

import hashlib

from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.provider import Provider

# Longer ids are hashed: a key must fit an index.
MAX_ID_CHARACTERS = 200
MAX_EVENT_TYPE_CHARACTERS = 200


def delivery_key(provider: Provider, delivery: Delivery, body_sha256: str, timestamp: str | None) -> str:
    """The key under which this delivery makes one run.

    The provider's id alone where it is signed: then the same id with other bytes is a contradiction. An id that is not
    signed is joined with the body's hash, else anybody could send an old body under a new id, or block an id to come.
    Without an id, the hash of the body, with the timestamp where that is signed.
    """
    parts = [word(delivery) for word in provider.delivery_id]
    found = ":".join(part or "" for part in parts) if all(parts) else None
    if found:
        delivery_id = found if len(found) <= MAX_ID_CHARACTERS else hashlib.sha256(_bytes(found)).hexdigest()
        return delivery_id if provider.delivery_id_signed else f"{delivery_id}:{body_sha256}"
    if provider.scheme.signs_timestamp and timestamp is not None:
        return f"{timestamp}:{body_sha256}"
    return body_sha256


def event_type(provider: Provider, delivery: Delivery) -> str | None:
    """The event's type, like `push` or `pull_request.opened`; `None` where the delivery does not say."""
    parts = [text for source in provider.event_type if (text := source(delivery))]
    return ".".join(parts)[:MAX_EVENT_TYPE_CHARACTERS] or None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
