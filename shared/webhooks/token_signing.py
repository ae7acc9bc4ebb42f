"""Makes the token with which a provider proves a delivery, for demos, tools and tests."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from shared.webhooks.delivery import Delivery
from shared.webhooks.encodings import ENCODERS
from shared.webhooks.jwt import HMACS, PUBLIC
from shared.webhooks.provider import Provider
from shared.webhooks.verification import keys_of
from shared.webhooks.words import Facts


def sign_token(provider: Provider, delivery: Delivery, secret: str, now: float) -> Mapping[str, str]:
    """The delivery's headers with the token's."""
    scheme = provider.scheme
    assert scheme.signature is not None, "a token stands somewhere"
    place = scheme.signature.place
    if not place.lower().startswith("header:"):
        raise ValueError("This provider's body is the token.")
    facts = Facts(delivery)
    facts.lets = {name: template.render for name, template in scheme.lets.items()}
    claims: dict[str, object] = {"iat": int(now), "nbf": int(now), "exp": int(now) + 300}
    for name, template in scheme.claims:
        text = template.render(facts)
        if text is None:
            raise ValueError(f"The claim {name} needs something that the delivery lacks.")
        claims[name] = text.decode()
    head = {"alg": scheme.algorithm, "typ": "JWT"}
    write = ENCODERS["base64url"]
    first = write(json.dumps(head).encode())
    second = "" if scheme.detached else write(json.dumps(claims).encode())
    signed = first.encode() + b"." + (delivery.body if scheme.detached else second.encode())
    if scheme.algorithm in HMACS:
        keys = keys_of(scheme.key, [secret], delivery)
        if not keys:
            raise ValueError("This cannot be signed: the secret is unusable.")
        signature = hmac.digest(keys[0][1], signed, HMACS[scheme.algorithm])
    else:
        from shared.webhooks.private_keys import sign_with

        signature = sign_with(PUBLIC[scheme.algorithm], secret, signed)
    header = place.partition(":")[2].lower()
    return {**delivery.headers, header: f"{scheme.signature.prefix}{first}.{second}.{write(signature)}"}
