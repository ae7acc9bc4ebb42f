"""Verifies that a delivery comes from the holder of the secret: one procedure for every provider.

Every key is tried against every candidate signature, in the same time whichever fits. Nothing of the body is parsed
here, unless the provider signs inside it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.signatures.comparison import (
    RefusedError,
    candidates_of,
    check_public,
    keys_of,
    matches,
    public_keys_of,
)
from shared.webhooks.signatures.json_path import values
from shared.webhooks.signatures.scheme import Scheme, Timestamp
from shared.webhooks.signatures.template import Template
from shared.webhooks.signatures.timestamps import staleness

MAX_ITEMS = 1000


class Verification(NamedTuple):
    """`reason` is unset for a delivery that verifies; else it says why not, for the webhook's owner and never for the
    sender. `timestamp` is the text that was signed."""

    reason: str | None = None
    timestamp: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the delivery verifies."""
        return self.reason is None


def verify(
    scheme: Scheme, delivery: Delivery, secrets: Sequence[str], now: float, public_keys: Sequence[object] = ()
) -> Verification:
    """The verdict on a delivery, judged at Unix time `now` with any of the `secrets`; without a usable one, refused.

    `public_keys` are those that were fetched, where the scheme says so.
    """
    if scheme.kind == "none":  # nothing is proven: whoever knows the URL may deliver
        return Verification()
    try:
        if scheme.kind == "jwt":
            from shared.webhooks.signatures.jwt import check_token

            check_token(scheme, delivery, secrets, now, public_keys)
            timestamp = _timestamp(scheme.timestamp, SignatureContext(delivery))
            return Verification(staleness(scheme.timestamp, timestamp, now), timestamp)
        # Every item must verify by itself: one forged item among many would otherwise be taken along.
        items = _items(scheme, delivery)
        timestamps = [_judge(scheme, delivery, secrets, public_keys, item) for item in items]
        if scheme.timestamp is None:
            return Verification()
        stale = (staleness(scheme.timestamp, timestamp, now) for timestamp in timestamps)
        return Verification(next((reason for reason in stale if reason), None), timestamps[0])
    except RefusedError as refused:
        # A field that was not read for want of budget looks like one that is missing: the reason must say which.
        if delivery.work.is_spent:
            return Verification("too_much_work: the scheme makes more of this delivery than is allowed")
        return Verification(str(refused))


def _items(scheme: Scheme, delivery: Delivery) -> Sequence[object]:
    """The items that must verify; a delivery as a whole is one."""
    if scheme.items is None:
        return (None,)
    from shared.webhooks.signatures.json_path import parse_path

    items = list(values(delivery.json, parse_path(scheme.items.text.removeprefix("json:"))))
    if not items or len(items) > MAX_ITEMS:
        raise RefusedError("signature_malformed: no items")
    return items


def _judge(
    scheme: Scheme, delivery: Delivery, secrets: Sequence[str], public_keys: Sequence[object], item: object
) -> str | None:
    """The timestamp's text of a delivery, or an item of it, that verifies; else `RefusedError`."""
    assert scheme.signature is not None, "only schemes of kind none have no signature"
    context = SignatureContext(delivery, item=item)
    candidates = candidates_of(scheme, scheme.signature, context)
    if scheme.timestamp is not None:
        context.timestamp = _timestamp(scheme.timestamp, context)
    context.lets = scheme.lets
    if scheme.kind == "asymmetric":
        keys = public_keys_of(scheme, secrets, public_keys)
        check_public(scheme.algorithm, keys, candidates, list(_contents(scheme, context)))
        return context.timestamp
    keys_found = keys_of(scheme.key, secrets, delivery)
    if not keys_found:
        raise RefusedError("secret_unusable")
    # During a rotation there are two secrets, and a scheme may sign one of several contents: all combinations are made.
    expected = []
    for secret, key in keys_found:
        context.secret, context.key = secret, key
        expected += [_digest(scheme, key, content) for content in _contents(scheme, context)]
    if not matches(expected, candidates):
        raise RefusedError("signature_mismatch")
    return context.timestamp


def _digest(scheme: Scheme, key: bytes, content: bytes) -> bytes:
    if scheme.kind == "hmac":
        return hmac.digest(key, content, scheme.algorithm)
    if scheme.kind == "hash":
        return hashlib.new(scheme.algorithm, content, usedforsecurity=False).digest()
    # Tokens have any length, their hashes one: so the comparison's time says nothing about a token's length.
    return hashlib.sha256(content).digest()


def _contents(scheme: Scheme, context: SignatureContext) -> Iterator[bytes]:
    """What may have been signed; `RefusedError` where no content has all its fields in the delivery."""
    is_complete = False
    for content in scheme.contents:
        rendered = content.template.render(context)
        if rendered is not None and all(_equal(field.as_text(context), text, context) for field, text in content.equal):
            is_complete = True
            yield rendered
    if not is_complete:
        missing = scheme.contents[0].template.missing(context) or "what is signed"
        raise RefusedError(f"header_missing: {missing}")


def _equal(sent: str | None, wanted: Template, context: SignatureContext) -> bool:
    text = wanted.render(context)
    return sent is not None and text is not None and matches([text], [sent.encode("utf-8", "surrogatepass")])


def _timestamp(timestamp: Timestamp | None, context: SignatureContext) -> str | None:
    if timestamp is None:
        return None
    text = timestamp.source.as_text(context)
    if text is None:
        name = timestamp.place.removeprefix("signature:")
        # The pair is there, with two values: see `fields`.
        if timestamp.from_signature and any(name == pair for pair, _ in context.pairs):
            raise RefusedError("timestamp_malformed")
        raise RefusedError(f"header_missing: {timestamp.place}")
    return text
