"""Does this delivery come from who holds the secret? One engine for every provider, and one comparison.

Every key is tried against every candidate, in the same time whichever fits. Nothing of the body is parsed here.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from shared.webhooks.clock import UNITS
from shared.webhooks.delivery import Delivery
from shared.webhooks.encodings import DECODERS, key_bytes
from shared.webhooks.scheme import Scheme, Timestamp


@dataclass(frozen=True, slots=True)
class Verification:
    """`reason` is unset for a delivery that verifies; else it says, for the webhook's owner and never for the sender,
    why not. `timestamp` is the text that was signed."""

    reason: str | None = None
    timestamp: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the delivery verifies."""
        return self.reason is None


class _RefusedError(Exception):
    """Carries the reason out of the reading of a header."""


def verify(scheme: Scheme, delivery: Delivery, secrets: Sequence[str], now: float) -> Verification:
    """The verdict on a delivery, judged at Unix time `now` with any of the `secrets`; without a usable one, refused."""
    try:
        candidates, timestamp = _read(scheme, delivery)
        return Verification(_judge(scheme, delivery, secrets, candidates, timestamp, now), timestamp)
    except _RefusedError as refused:
        return Verification(str(refused))


def _judge(
    scheme: Scheme,
    delivery: Delivery,
    secrets: Sequence[str],
    candidates: Sequence[bytes],
    timestamp: str | None,
    now: float,
) -> str | None:
    keys = [key for secret in secrets if (key := key_bytes(secret, scheme.key_encoding, scheme.key_prefix))]
    if not keys:
        return "secret_unusable"
    content = scheme.content.render(delivery, timestamp)
    if content is None:
        return "header_missing"
    expected = [hmac.digest(key, content, scheme.algorithm) for key in keys]
    if not matches(expected, candidates):
        return "signature_mismatch"
    return _staleness(scheme.timestamp, timestamp, now)


def matches(expected: Sequence[bytes], candidates: Sequence[bytes]) -> bool:
    """Whether any candidate is any of the expected digests: the only place where secrets are compared."""
    found = False
    for digest in expected:
        for candidate in candidates:
            found |= hmac.compare_digest(digest, candidate)
    return found


def _read(scheme: Scheme, delivery: Delivery) -> tuple[list[bytes], str | None]:
    """The candidates for the signature and the timestamp's text."""
    signature = scheme.signature
    text = signature.source(delivery)
    if text is None:
        raise _RefusedError(f"header_missing: {signature.place}")
    pairs: list[tuple[str, str]] = []
    match signature.format:
        case "single":
            # Some gateways fold repeated headers into one with commas; which of them would be meant is not ours to say.
            written = [text.removeprefix(signature.prefix)] if text.startswith(signature.prefix) else []
        case "list":
            items = (item.strip() for item in text.split(signature.separator))
            written = [item.removeprefix(signature.prefix) for item in items if item.startswith(signature.prefix)]
        case _:
            for item in text.split(signature.separator):
                name, _, value = item.strip().partition("=")
                pairs.append((name, value))
            written = [value for name, value in pairs if name == signature.name]
    decode = DECODERS[signature.encoding]
    candidates = [digest for value in written if (digest := decode(value)) and len(digest) == scheme.digest_size]
    if not candidates:
        raise _RefusedError("signature_malformed")
    return candidates, _timestamp(scheme.timestamp, delivery, pairs)


def _timestamp(timestamp: Timestamp | None, delivery: Delivery, pairs: Sequence[tuple[str, str]]) -> str | None:
    if timestamp is None:
        return None
    if timestamp.source is not None:
        text = timestamp.source(delivery)
    else:
        texts = {value for name, value in pairs if name == timestamp.pair}
        if len(texts) > 1:
            raise _RefusedError("timestamp_malformed")
        text = texts.pop() if texts else None
    if text is None:
        raise _RefusedError(f"header_missing: {timestamp.place}")
    return text


def _staleness(timestamp: Timestamp | None, text: str | None, now: float) -> str | None:
    if timestamp is None or text is None:
        return None
    seconds = UNITS[timestamp.unit](text)
    if seconds is None:
        return "timestamp_malformed"
    age = now - seconds
    if age > timestamp.tolerance_seconds:
        return f"timestamp_too_old: {age:.0f} s"
    if age < -timestamp.tolerance_seconds:
        return f"timestamp_in_future: {-age:.0f} s"
    return None
