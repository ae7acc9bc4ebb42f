"""Signs a delivery as its provider does, from the same data by which it is verified: for demos and tests."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace

from shared.webhooks.clock import WRITTEN
from shared.webhooks.delivery import Delivery
from shared.webhooks.encodings import ENCODERS, key_bytes
from shared.webhooks.provider import Provider


def sign(provider: Provider, delivery: Delivery, secret: str, now: float) -> Mapping[str, str]:
    """The delivery's headers and those that the provider adds at Unix time `now`, by lower-case name.

    Headers that the signature covers (such as the delivery's id) must be there already; a secret that could not be
    verified with raises `ValueError`.
    """
    scheme, signature, headers = provider.scheme, provider.scheme.signature, dict(delivery.headers)
    timestamp = WRITTEN[scheme.timestamp.unit](now) if scheme.timestamp else None
    if scheme.timestamp and scheme.timestamp.place.startswith("header:"):
        headers[scheme.timestamp.place.removeprefix("header:").lower()] = str(timestamp)
    key = key_bytes(secret, scheme.key_encoding, scheme.key_prefix)
    content = scheme.content.render(replace(delivery, headers=headers), timestamp)
    if key is None or content is None or not signature.place.startswith("header:"):
        raise ValueError("This cannot be signed: the secret is unusable, or something that is signed is missing.")
    written = ENCODERS[signature.encoding](hmac.digest(key, content, scheme.algorithm))
    match signature.format:
        case "pairs":
            pairs = [(signature.name, written)]
            if scheme.timestamp and scheme.timestamp.pair:
                pairs.insert(0, (scheme.timestamp.pair, str(timestamp)))
            value = signature.separator.join(f"{name}={text}" for name, text in pairs)
        case _:
            value = signature.prefix + written
    return {**headers, signature.place.removeprefix("header:").lower(): value}
