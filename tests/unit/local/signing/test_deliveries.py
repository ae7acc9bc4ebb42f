"""Signing from the data that verifies, and proofs in their less usual forms."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from local.signing.deliveries import sign, signed
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.signatures.fields import parse_field
from shared.webhooks.signatures.scheme import compile_scheme
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import fitted, good

NOW = 1_700_000_000.0


def hs256(claims: dict[str, object], secret: str) -> str:
    """A token, made without our own code."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims)]
    mac = hmac.digest(secret.encode(), b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


@pytest.mark.parametrize("padding", ["", "="])
def test_qstash_writes_its_hash_with_padding_or_without(padding: str) -> None:
    """Upstash's own receivers take off what is there before they compare."""
    url, body = "https://hooks.example.com/intake/qstash", b'{"n": 1}'
    claim = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=") + padding
    claims = {"iss": "Upstash", "sub": url, "exp": NOW + 60, "nbf": NOW, "body": claim}
    delivery = Delivery("POST", {"upstash-signature": hs256(claims, "key")}, body, url=url)
    provider = fitted("qstash")
    assert verify(provider.scheme, delivery, ["key"], NOW).accepted
    changed = replace(delivery, body=b'{"n": 2}', claims={}, protected={})
    assert verify(provider.scheme, changed, ["key"], NOW).reason == "body_modified"


def test_persona_sends_a_group_for_each_secret_while_they_are_rotated() -> None:
    """Either of the two groups verifies; a time that only one of them has does not."""
    provider, body = fitted("persona"), b"{}"
    old, new = (sign(provider, Delivery("POST", {}, body), secret, NOW)["persona-signature"] for secret in ("a", "b"))

    def reason(header: str, secret: str) -> str | None:
        delivery = Delivery("POST", {"persona-signature": header}, body)
        return verify(provider.scheme, delivery, [secret], NOW).reason

    assert reason(f"{old} {new}", "a") is None
    assert reason(f"{old} {new}", "b") is None
    assert reason(f"{old} {new}", "c") == "signature_mismatch"
    assert reason(f"{old} {new.replace('t=1700000000', 't=1700000001')}", "a") == "timestamp_malformed"


@pytest.mark.parametrize("family", ["svix", "webhook"])
def test_svix_is_signed_under_the_names_that_are_there(family: str) -> None:
    """Its headers have two families of names; signing goes on in the one that the delivery's id has."""
    provider, secret = fitted("svix"), "whsec_" + base64.b64encode(b"k" * 32).decode()
    delivery = Delivery("POST", {f"{family}-id": "msg_1", f"{family}-timestamp": "0"}, b"{}")
    proven = signed(provider, delivery, secret, NOW)
    assert proven.headers[f"{family}-timestamp"] == "1700000000"
    assert verify(provider.scheme, proven, [secret], NOW).accepted
    fresh = signed(provider, Delivery("POST", {"svix-id": "msg_1"}, b"{}"), secret, NOW)
    assert set(fresh.headers) == {"svix-id", "svix-timestamp", "svix-signature"}


def test_twilio_signs_all_of_a_form() -> None:
    """Each field once and sorted is all that a form says, so its fields may be believed."""
    scheme = fitted("twilio").scheme
    assert scheme.covers_body
    assert scheme.signs("form:MessageSid")
    assert not scheme.signs("header:I-Twilio-Idempotency-Token")


@pytest.mark.parametrize("provider_id", ["pandadoc", "aircall", "kofi", "adyen", "dialpad"])
def test_headers_alone_cannot_prove_what_stands_elsewhere(provider_id: str) -> None:
    """Who asks for headers learns that the proof is in the URL or the body."""
    provider, delivery, data = good(provider_id)
    bare = replace(delivery, raw_query="", query={}, claims={}, protected={})
    with pytest.raises(ValueError, match="body or URL"):
        sign(provider, bare, data["secret"] + "11", NOW)


def test_the_text_around_a_proof_in_the_body_stays() -> None:
    """Some senders sign the body's text with the secret in the proof's place: nothing of it may be written anew."""
    provider, delivery, _ = good("unisender_go")
    proven = signed(provider, replace(delivery, body=b'{ "auth" : "x",  "n":1 }'), "key", NOW)
    assert proven.body == b'{ "auth" : "%s",  "n":1 }' % hashlib.md5(b'{ "auth" : "key",  "n":1 }').hexdigest().encode()


def test_nothing_may_be_added_behind_payfasts_signature() -> None:
    """What stands before it is signed; a field behind it would be anybody's."""
    provider, delivery, data = good("payfast")
    added = replace(delivery, body=delivery.body + b"&payment_status=COMPLETE")
    assert not verify(provider.scheme, added, [data["secret"]], data["now"]).accepted


@pytest.mark.parametrize("content", ["{body|before:&}", "{body|after:&}", "{body|json:a}", "{body|crc32}"])
def test_a_part_of_the_body_is_not_the_body(content: str) -> None:
    """A file that signs less than it seems to must say so."""
    signature = {"in": "header:S", "encoding": "hex"}
    with pytest.raises(ValueError, match="covers_body"):
        compile_scheme({"kind": "hmac", "algorithm": "sha256", "content": content, "signature": signature}, None)


def test_php_serialises_a_form_by_name_and_bytes() -> None:
    """https://www.php.net/serialize: lengths are of bytes; a repeated field has its last value."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    delivery = Delivery("POST", form, b"b=%C3%A9&a=1&p_signature=x&b=2+3")
    assert (
        parse_field("form_php:p_signature").read(SignatureContext(delivery))
        == b'a:2:{s:1:"a";s:1:"1";s:1:"b";s:3:"2 3";}'
    )
    assert (
        parse_field("form_php:a").read(SignatureContext(Delivery("POST", form, b"b=%C3%A9")))
        == b'a:1:{s:1:"b";s:2:"\xc3\xa9";}'
    )
