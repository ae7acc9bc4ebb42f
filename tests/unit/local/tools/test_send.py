"""`python -m local send`: what it sends is what intake accepts, and its attacks are what intake refuses."""

from __future__ import annotations

import argparse
import base64
import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from local.tools.send import prepared
from shared.domain.webhook.provider_rules import new_secret
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.intake.diagnosis import diagnose
from shared.webhooks.intake.pipeline import examine
from shared.webhooks.providers.catalog import provider, provider_data, provider_ids
from shared.webhooks.providers.provider import Provider
from shared.webhooks.providers.rules import provider_rules
from shared.webhooks.signatures.public_keys import load
from shared.webhooks.signatures.scheme import Scheme
from tests.unit.webhooks.builders import vector

URL = "https://hooks.example.com/webhooks/01930000-0000-7000-8000-0000000000a1/x"
PROVIDERS = [name for name in provider_ids() if name != "custom"]
FORGERY = ("wrong_secret", "body_modified", "claim_mismatch", "signature_mismatch")


def options(provider_id: str, secret: str, **given: Any) -> argparse.Namespace:
    """The command's options, the configuration being the good vector's."""
    config = (provider_data(provider_id) or {})["vectors"]["good"].get("config", {})
    unset = {"event": None, "payload": None, "forge": False, "stale": False, "replay": False}
    options = {**unset, "url": URL, "config": json.dumps(config), "provider": provider_id, "secret": secret}
    return argparse.Namespace(**options | given)


@cache
def _keys() -> tuple[Any, ...]:
    keys = (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1()))
    return (*keys, rsa.generate_private_key(65537, 2048))


def key_pair(scheme: Scheme) -> tuple[str, str]:
    """A private key in PEM, and the public one as the webhook's secret."""
    ed, elliptic, large = _keys()
    name = scheme.algorithm.lower()
    key = ed if "ed" in name[:2] else elliptic if name.startswith("e") else large
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = key.private_bytes(pem[0], serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(*pem)
    if scheme.key.encodings[0] in ("base64", "hex"):
        raw = key.public_key().public_bytes(serialization.Encoding.DER, pem[1])
        if key is ed:
            raw = key.public_key().public_bytes_raw()
        public = base64.b64encode(raw) if scheme.key.encodings[0] == "base64" else raw.hex().encode()
    return private.decode(), public.decode()


def secrets_of(provider_id: str) -> tuple[str, list[str], list[Any]]:
    """What the sender has, what the webhook has, and what would be fetched."""
    found, _, data = vector(provider_id, "good")
    if not found.scheme.is_public:
        return data.get("secret", ""), [data["secret"]] if "secret" in data else [], []
    private, public = key_pair(found.scheme)
    fetched = load(public, found.scheme.key.encodings[0]) if found.scheme.fetch else None
    return private, [public], [fetched] if fetched else []


def reason(found: Provider, delivery: Delivery, secrets: list[str], fetched: list[Any]) -> str | None:
    """Why intake would refuse this; `None` where it would take it, as a delivery or a handshake."""
    now = time.time()
    examined = examine(found, delivery, secrets, now, fetched)
    if examined.handshake is not None:
        return None if examined.handshake.accepted else "handshake_refused"
    assert examined.verification is not None
    why = examined.verification.reason
    return None if why is None else diagnose(found, delivery, secrets, now, why)[1]


@pytest.mark.parametrize("provider_id", PROVIDERS)
def test_what_is_sent_is_accepted(provider_id: str) -> None:
    """Wherever the provider puts its proof: header, URL, body, each item, or the body as a token."""
    sender, secrets, fetched = secrets_of(provider_id)
    found, (delivery,) = prepared(options(provider_id, sender))
    assert reason(found, delivery, secrets, fetched) is None


def scheme_of(provider_id: str) -> Scheme:
    """The scheme of the good vector."""
    return vector(provider_id, "good")[0].scheme


def is_forgeable(scheme: Scheme) -> bool:
    """Whether a body can be changed, or another secret be had."""
    return scheme.covers_body or (scheme.kind != "none" and not scheme.is_public)


def is_timed(scheme: Scheme) -> bool:
    """Whether the provider sends a time that is judged."""
    return scheme.kind == "jwt" or (scheme.timestamp is not None and scheme.timestamp.unit != "opaque")


@pytest.mark.parametrize("provider_id", [each for each in PROVIDERS if is_forgeable(scheme_of(each))])
def test_a_forged_delivery_is_refused(provider_id: str) -> None:
    """For its signature, not for something that happens to be missing."""
    sender, secrets, fetched = secrets_of(provider_id)
    found, (delivery,) = prepared(options(provider_id, sender, forge=True))
    why = reason(found, delivery, secrets, fetched)
    assert why is not None
    assert why.startswith(FORGERY)


@pytest.mark.parametrize("provider_id", [each for each in PROVIDERS if is_timed(scheme_of(each))])
def test_a_stale_delivery_is_refused_for_its_age(provider_id: str) -> None:
    """Where the provider signs the time; of others, and of what cannot be forged, see below."""
    sender, secrets, fetched = secrets_of(provider_id)
    found, (delivery,) = prepared(options(provider_id, sender, stale=True))
    why = reason(found, delivery, secrets, fetched)
    assert why is not None
    assert why.startswith("timestamp_too_old: 604")


def test_a_replay_is_the_same_delivery_and_a_second_call_is_another() -> None:
    """Byte for byte, so that it is a duplicate; the next call's is new."""
    again = options("stripe", "whsec_1", replay=True)
    _, (first, second) = prepared(again)
    _, (other, _) = prepared(again)
    assert first == second
    assert other.body != first.body


@pytest.mark.parametrize(
    ("provider_id", "event", "place"),
    [
        ("github", "pull_request.opened", {"header": {"x-github-event": "pull_request"}, "body": {"action": "opened"}}),
        ("stripe", "invoice.paid", {"body": {"type": "invoice.paid"}}),
        ("shopify", "orders/paid", {"header": {"x-shopify-topic": "orders/paid"}}),
    ],
)
def test_an_event_stands_where_the_provider_writes_it(
    provider_id: str, event: str, place: Mapping[str, Mapping[str, str]]
) -> None:
    """In headers and in the body."""
    _, (delivery,) = prepared(options(provider_id, "whsec_1", event=event))
    assert place.get("header", {}).items() <= delivery.headers.items()
    assert place.get("body", {}).items() <= delivery.json.items()


def test_a_payload_is_sent_as_it_is(tmp_path: Path) -> None:
    """Where the proof stands elsewhere, and there is an id elsewhere."""
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"n":  1}\n')
    _, (delivery,) = prepared(options("github", "secret", payload=file))
    assert delivery.body == b'{"n":  1}\n'


@pytest.mark.parametrize(
    ("provider_id", "given", "message"),
    [
        ("nobody", {}, "There is no provider"),
        ("paypal", {"secret": ""}, "fetched from its own hosts"),
        ("github", {"secret": ""}, "the secret is unusable"),
        ("github", {"stale": True}, "sends no time"),
        ("google_chat", {"secret": "a key", "forge": True}, "signs nothing of a body"),
        ("discord", {"secret": "no key"}, "needs the private key in PEM"),
        ("aircall", {"payload": Path(__file__)}, "The body must be JSON"),
    ],
)
def test_what_cannot_be_sent_is_said(provider_id: str, given: JsonObject, message: str) -> None:
    """With what to do instead, before anything is sent."""
    asked = argparse.Namespace(**vars(options("github", "secret")) | given | {"provider": provider_id})
    with pytest.raises(ValueError, match=message):
        prepared(asked)


@pytest.mark.parametrize("provider_id", PROVIDERS)
def test_a_generated_secret_signs(provider_id: str) -> None:
    """What a new webhook is given is enough to send to it."""
    asked = options(provider_id, "")
    rules = provider_rules(provider_id, json.loads(asked.config))
    assert rules is not None
    asked.secret = new_secret(rules, bytes(range(32)))
    if asked.secret is not None:
        found, (delivery,) = prepared(asked)
        assert reason(found, delivery, [asked.secret], []) is None
        assert provider(provider_id, json.loads(asked.config)) == found
