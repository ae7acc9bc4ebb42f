"""Signs a delivery as its provider does, from the same data by which it is verified: for demos, tools and tests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace

from shared.webhooks.clock import WRITTEN
from shared.webhooks.delivery import Delivery
from shared.webhooks.encodings import ENCODERS
from shared.webhooks.provider import Provider
from shared.webhooks.scheme import Scheme, Signature
from shared.webhooks.verification import keys_of
from shared.webhooks.words import Facts


def sign(provider: Provider, delivery: Delivery, secret: str, now: float) -> Mapping[str, str]:
    """The delivery's headers and those that the provider adds at Unix time `now`, by lower-case name.

    Headers that the signature covers (such as the delivery's id) must be there already; what cannot be signed like
    this, or with this secret, raises `ValueError`.
    """
    scheme, signature = provider.scheme, provider.scheme.signature
    if signature is None:
        return dict(delivery.headers)
    if scheme.kind == "jwt":
        from shared.webhooks.token_signing import sign_token

        return sign_token(provider, delivery, secret, now)
    if not signature.place.lower().startswith("header:"):
        raise ValueError("This provider signs in the request's body or URL.")
    headers, timestamp = dict(delivery.headers), None
    if scheme.timestamp:
        timestamp = "" if scheme.timestamp.unit == "opaque" else WRITTEN[scheme.timestamp.unit](now)
        if scheme.timestamp.place.startswith("header:"):
            name = scheme.timestamp.place.removeprefix("header:").lower()
            timestamp = timestamp or headers.get(name, "")
            headers[name] = timestamp
    pairs = [("t", timestamp)] if timestamp is not None else []
    if scheme.timestamp and scheme.timestamp.from_signature and timestamp is not None:
        pairs = [(scheme.timestamp.place.removeprefix("signature:"), timestamp)]
    digest = _signed(scheme, replace(delivery, headers=headers), secret, timestamp, pairs)
    text = digest.decode() if signature.encoding == "text" else ENCODERS[signature.encoding](digest)
    headers[signature.place.partition(":")[2].lower()] = _written(scheme, signature, text, timestamp)
    return headers


def _signed(
    scheme: Scheme, delivery: Delivery, secret: str, timestamp: str | None, pairs: list[tuple[str, str]]
) -> bytes:
    private = None
    if scheme.kind == "asymmetric":
        from shared.webhooks.private_keys import sign_with

        private = sign_with
        keys = [(secret, secret.encode())]
    else:
        keys = keys_of(scheme.key, [secret], delivery)
    for text, key in keys:
        facts = Facts(delivery, timestamp, pairs, text, key)
        facts.lets = {name: template.render for name, template in scheme.lets.items()}
        for content in scheme.contents:
            rendered = content.template.render(facts)
            if rendered is None:
                continue
            if private is not None:
                return private(scheme.algorithm, secret, rendered)
            if scheme.kind == "hmac":
                return hmac.digest(key, rendered, scheme.algorithm)
            if scheme.kind == "hash":
                return hashlib.new(scheme.algorithm, rendered, usedforsecurity=False).digest()
            return rendered
    raise ValueError("This cannot be signed: the secret is unusable, or something that is signed is missing.")


def _written(scheme: Scheme, signature: Signature, text: str, timestamp: str | None) -> str:
    from_signature = scheme.timestamp is not None and scheme.timestamp.from_signature
    name = scheme.timestamp.place.removeprefix("signature:") if scheme.timestamp else ""
    match signature.format:
        case "pairs":
            pairs = [(signature.names[0], text)]
            if from_signature:
                pairs.insert(0, (name, str(timestamp)))
            return signature.separator.join(f"{key}{signature.assign}{value}" for key, value in pairs)
        case "list" if from_signature:
            return signature.separator.join([str(timestamp), signature.prefix + text])
        case "json":
            import base64
            import json

            return base64.b64encode(json.dumps({signature.names[0]: text}).encode()).decode()
        case _:
            return signature.prefix + text
