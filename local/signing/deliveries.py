"""Signs a delivery as its provider does, from the same data by which it is verified: for demos, tools and tests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from local.signing.field_writer import chosen, put_in_items, swapped, write_field
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.comparison import keys_of, written
from shared.webhooks.signatures.encodings import ENCODERS
from shared.webhooks.signatures.json_path import parse_path, values
from shared.webhooks.signatures.scheme import Scheme, Signature
from shared.webhooks.signatures.timestamps import WRITTEN

# Stands in a body where its proof will; no sender writes this.
PLACEHOLDER = "7e5d0b1f-the-proof-will-stand-here"

Pairs = list[tuple[str, str]]


def sign(provider: Provider, delivery: Delivery, secret: str, now: float) -> Mapping[str, str]:
    """The delivery's headers and those that the provider adds at Unix time `now`, by lower-case name.

    Headers that the signature covers (such as the delivery's id) must be there already; what cannot be signed like
    this, or with this secret, raises `ValueError`.
    """
    proven = signed(provider, delivery, secret, now)
    if proven.body != delivery.body or proven.raw_query != delivery.raw_query:
        raise ValueError("This provider signs in the request's body or URL.")
    return proven.headers


def signed(provider: Provider, delivery: Delivery, secret: str, now: float) -> Delivery:
    """The delivery with its proof where the provider puts it: in headers, the query or the body.

    `secret` is the private key in PEM where the provider signs with one. What stands in the proof beside the signature
    is kept from a proof that is there already. `ValueError` for what cannot be signed.
    """
    scheme, signature = provider.scheme, provider.scheme.signature
    if signature is None:
        return delivery
    if scheme.kind == "jwt":
        from local.signing.tokens import with_token

        return with_token(provider, delivery, secret, now)
    delivery, timestamp = _timed(scheme, delivery, now)
    if scheme.items is not None:
        return _item_by_item(scheme, signature, delivery, secret, timestamp)
    place = chosen(signature.places, delivery)
    pairs = _pairs(scheme, signature, delivery, timestamp)
    if place.startswith("header:"):
        proof = _proof(scheme, signature, delivery, secret, timestamp, pairs)
        return write_field(delivery, place.partition("|")[0], proof)
    # The signature covers a body or URL that it is itself a part of: a placeholder stands there while it is computed.
    delivery = write_field(delivery, place, PLACEHOLDER)
    return swapped(delivery, place, PLACEHOLDER, _proof(scheme, signature, delivery, secret, timestamp, pairs))


def _timed(scheme: Scheme, delivery: Delivery, now: float) -> tuple[Delivery, str | None]:
    """The delivery with the time where the provider writes it, and its text."""
    timestamp = scheme.timestamp
    if timestamp is None:
        return delivery, None
    if timestamp.unit == "opaque":
        return delivery, "" if timestamp.from_signature else timestamp.source(delivery) or ""
    text = WRITTEN[timestamp.unit](now)
    return delivery if timestamp.from_signature else write_field(
        delivery, chosen([timestamp.place], delivery), text
    ), text


def _pairs(scheme: Scheme, signature: Signature, delivery: Delivery, timestamp: str | None) -> Pairs:
    """What stands in the proof beside the signature: the time, and whatever an earlier proof has there."""
    name = "t"
    if scheme.timestamp is not None and scheme.timestamp.from_signature:
        name = scheme.timestamp.place.removeprefix("signature:")
    facts = SignatureContext(delivery)
    before = next((text for source in signature.sources if (text := source.as_text(facts)) is not None), None)
    if before is not None and signature.format == "pairs":
        written(signature, before, facts)
    others = [pair for pair in facts.pairs if pair[0] not in (name, *signature.names)]
    return [*([] if timestamp is None else [(name, timestamp)]), *others]


def _item_by_item(
    scheme: Scheme, signature: Signature, delivery: Delivery, secret: str, timestamp: str | None
) -> Delivery:
    assert scheme.items is not None, "only schemes with items come here"
    path = scheme.items.text.removeprefix("json:")
    texts: list[tuple[Any, str]] = [
        (item, _proof(scheme, signature, delivery, secret, timestamp, [], item))
        for item in values(delivery.json, parse_path(path))
    ]
    return put_in_items(delivery, path, texts, signature.place.removeprefix("item:"))


def _proof(
    scheme: Scheme,
    signature: Signature,
    delivery: Delivery,
    secret: str,
    timestamp: str | None,
    pairs: Pairs,
    item: Any = None,
) -> str:
    digest = _digest(scheme, delivery, secret, timestamp, pairs, item)
    text = digest.decode() if signature.encoding == "text" else ENCODERS[signature.encoding](digest)
    return _written(scheme, signature, text, timestamp, pairs)


def _digest(
    scheme: Scheme, delivery: Delivery, secret: str, timestamp: str | None, pairs: Pairs, item: object = None
) -> bytes:
    asymmetric = scheme.kind == "asymmetric"
    keys = [(secret, secret.encode())] if asymmetric else keys_of(scheme.key, [secret], delivery)
    for text, key in keys:
        facts = SignatureContext(delivery, timestamp, pairs, text, key, item)
        facts.lets = scheme.lets
        for content in scheme.contents:
            if any(field.as_text(facts) is None for field, _ in content.equal):
                continue
            rendered = content.template.render(facts)
            if rendered is None:
                continue
            if asymmetric:
                from local.signing.private_keys import sign_with

                return sign_with(scheme.algorithm, secret, rendered)
            if scheme.kind == "hmac":
                return hmac.digest(key, rendered, scheme.algorithm)
            if scheme.kind == "hash":
                return hashlib.new(scheme.algorithm, rendered, usedforsecurity=False).digest()
            return rendered
    raise ValueError("This cannot be signed: the secret is unusable, or something that is signed is missing.")


def _written(scheme: Scheme, signature: Signature, text: str, timestamp: str | None, pairs: Pairs) -> str:
    match signature.format:
        case "pairs":
            inside = scheme.timestamp is not None and scheme.timestamp.from_signature
            beside = pairs if inside or timestamp is None else pairs[1:]
            members = [*beside, (signature.names[0], text)]
            return signature.separators[0].join(f"{name}{signature.assign}{value}" for name, value in members)
        case "list" if scheme.timestamp is not None and scheme.timestamp.from_signature:
            return signature.separators[0].join([str(timestamp), signature.prefix + text])
        case "json":
            import base64
            import json

            return base64.b64encode(json.dumps({signature.names[0]: text}).encode()).decode()
        case _:
            return signature.prefix + text
