"""Makes the token with which a provider proves a delivery, for demos, tools and tests."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace

from local.signing.field_writer import chosen, write_field
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.providers.provider import Provider
from shared.webhooks.signatures.comparison import keys_of
from shared.webhooks.signatures.encodings import ENCODERS
from shared.webhooks.signatures.jwt import HMACS, PUBLIC
from shared.webhooks.signatures.scheme import Scheme
from shared.webhooks.signatures.timestamps import WRITTEN

LIFETIME_SECONDS = 300


def with_token(provider: Provider, delivery: Delivery, secret: str, now: float) -> Delivery:
    """The delivery with its token; a token that is the body claims the members of the delivery's JSON."""
    scheme = provider.scheme
    assert scheme.signature is not None, "a token stands somewhere"
    place = chosen(scheme.signature.places, delivery).partition("|")[0]
    claims = _claims(scheme, delivery, now, claimed=delivery.json if place == "body" else None)
    write = ENCODERS["base64url"]
    first = write(json.dumps(_head(scheme, now)).encode())
    second = "" if scheme.detached else write(json.dumps(claims).encode())
    content = first.encode() + b"." + (delivery.body if scheme.detached else second.encode())
    token = f"{scheme.signature.prefix}{first}.{second}.{write(_signature(scheme, delivery, secret, content))}"
    return replace(delivery, body=token.encode()) if place == "body" else write_field(delivery, place, token)


def _head(scheme: Scheme, now: float) -> JsonObject:
    head: JsonObject = {"alg": scheme.algorithm, "typ": "JWT"}
    if scheme.detached:  # RFC 7797, section 3
        head |= {"b64": False, "crit": ["b64"]}
    timestamp = scheme.timestamp
    if timestamp is not None and timestamp.place.startswith("protected:") and timestamp.unit in WRITTEN:
        head[timestamp.place.removeprefix("protected:")] = int(WRITTEN[timestamp.unit](now))
    return head


def _claims(scheme: Scheme, delivery: Delivery, now: float, claimed: object) -> JsonObject:
    facts = SignatureContext(delivery)
    facts.lets = scheme.lets
    claims: JsonObject = dict(claimed) if isinstance(claimed, dict) else {}
    claims |= {"iat": int(now), "nbf": int(now), "exp": int(now) + LIFETIME_SECONDS}
    for name, templates in scheme.claims:
        text = next((text for template in templates if (text := template.render(facts)) is not None), None)
        if text is None:
            raise ValueError(f"The claim {name} needs something that the delivery lacks.")
        claims[name] = text.decode()
    return claims


def _signature(scheme: Scheme, delivery: Delivery, secret: str, content: bytes) -> bytes:
    if scheme.algorithm in HMACS:
        keys = keys_of(scheme.key, [secret], delivery)
        if not keys:
            raise ValueError("This cannot be signed: the secret is unusable.")
        return hmac.digest(keys[0][1], content, HMACS[scheme.algorithm])
    from local.signing.private_keys import sign_with

    return sign_with(PUBLIC[scheme.algorithm], secret, content)
