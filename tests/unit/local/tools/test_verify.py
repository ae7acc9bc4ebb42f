"""`python -m local verify` says of a delivery what intake would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from local.tools.verify import run
from shared.json_types import JsonObject
from shared.webhooks.providers.catalog import provider_data, provider_ids

SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
GITHUB: JsonObject = {
    "provider": "github",
    "secret": "It's a Secret to Everybody",
    "url": "https://api.example.org/webhooks/1/github",
    "method": "POST",
    "headers": {"X-Hub-Signature-256": SIGNATURE, "X-GitHub-Event": "push"},
    "body": "Hello, World!",
    "body_encoding": "utf8",
    "now": 1_700_000_000,
}


def explained(*requests: Any) -> list[JsonObject]:
    """The lines that come out."""
    out = io.StringIO()
    run(
        io.StringIO("\n".join(request if isinstance(request, str) else json.dumps(request) for request in requests)),
        out,
    )
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("change", "result", "reason"),
    [
        ({}, "accept", None),
        ({"body": base64.b64encode(b"Hello, World!").decode(), "body_encoding": "base64"}, "accept", None),
        ({"secret": "", "secrets": ["old", "It's a Secret to Everybody"]}, "accept", None),
        ({"secret": "another"}, "reject", "wrong_secret"),
        ({"secret": " It's a Secret to Everybody\n"}, "reject", "wrong_secret: there is blank space around it"),
        ({"secret": ""}, "reject", "secret_unusable"),
        ({"body": "Hello, World!\n"}, "reject", "body_modified: line breaks were added at its end"),
        ({"headers": {}}, "reject", "header_missing: header:X-Hub-Signature-256"),
        ({"headers": {"X-Hub-Signature-256": [SIGNATURE, SIGNATURE]}}, "reject", "signature_malformed"),
        ({"provider": "nobody"}, "reject", "unknown_provider"),
        ({"method": "GET"}, "reject", "method_not_used"),
    ],
)
def test_a_line_is_explained(change: JsonObject, result: str, reason: str | None) -> None:
    """One line in, one line out."""
    (explanation,) = explained({**GITHUB, **change})
    assert (explanation["result"], explanation["reason"]) == (result, reason)


def test_what_was_accepted_has_id_and_type() -> None:
    """The delivery's key and event type are those of intake."""
    (explanation,) = explained(GITHUB)
    assert explanation["delivery_id"] == hashlib.sha256(b"Hello, World!").hexdigest()
    assert (explanation["event_type"], explanation["handshake"]) == ("push", None)


def test_a_bad_line_stops_nothing() -> None:
    """Each line is judged on its own."""
    assert [explanation["result"] for explanation in explained("{", "[]", GITHUB)] == ["reject", "reject", "accept"]


def test_a_handshake_has_its_answer() -> None:
    """What the provider would be answered is shown whole."""
    mac = base64.b64encode(hmac.digest(b"key", b"crc-1", "sha256")).decode()
    request = {"provider": "twitter", "secret": "key", "method": "GET", "url": "https://x.example/?crc_token=crc-1"}
    (explanation,) = explained({**request, "headers": {}, "body": "", "now": 1})
    assert explanation["result"] == "accept"
    assert explanation["handshake"]["status"] == 200
    assert json.loads(explanation["handshake"]["body"]) == {"response_token": f"sha256={mac}"}


@pytest.mark.parametrize("provider_id", provider_ids())
def test_every_good_vector_is_accepted(provider_id: str) -> None:
    """A provider's own vector goes through the tool as through intake."""
    data = provider_data(provider_id) or {}
    vector = data["vectors"]["good"]
    query = urlencode(vector.get("query", {}))
    url = vector.get("url", "https://api.example.org/w")
    request = {
        "provider": provider_id,
        "secret": vector.get("secret", ""),
        "url": f"{url}?{query}" if query else url,
        "method": vector.get("method", "POST"),
        "headers": vector.get("headers", {}),
        "body": vector.get("body", ""),
        "now": vector["now"],
        "aux": {"config": vector.get("config", {}), **({"fetched": vector["fetched"]} if "fetched" in vector else {})},
    }
    (explanation,) = explained(request)
    assert (explanation["result"], explanation["reason"]) == ("accept", None)


@pytest.mark.parametrize("name", ["certificate", "certificates", "cert", "certs", "public_key", "keys", "fetched"])
@pytest.mark.parametrize("shape", ["text", "by name"])
def test_what_would_be_fetched_may_be_given(name: str, shape: str) -> None:
    """Under the names that people have for it, alone or among others; without it, or with another, nothing verifies."""
    right = ((provider_data("adobe_io") or {})["vectors"]["good"])["fetched"]
    documents = {"text": right, "by name": {"pub-key-1.pem": right}}
    assert verdict_of("adobe_io", {name: documents[shape]}) == ("accept", None)
    assert verdict_of("adobe_io", {})[0] == "reject"


def test_a_set_of_keys_may_be_given() -> None:
    """JSON web keys, as a set, a list or one; a set without the right key verifies nothing."""
    pem = ((provider_data("google_pubsub") or {})["vectors"]["good"])["fetched"]
    right = RSAAlgorithm.to_jwk(RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem), as_dict=True)
    other = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
    for jwks in ({"keys": [other, right]}, [right], right, json.dumps({"keys": [right]})):
        assert verdict_of("google_pubsub", {"jwks": jwks}) == ("accept", None), jwks
    for jwks in ({"keys": []}, {"keys": [other]}):
        assert verdict_of("google_pubsub", {"jwks": jwks})[0] == "reject", jwks


def verdict_of(provider_id: str, aux: JsonObject) -> tuple[str, str | None]:
    """What becomes of the good vector with this material."""
    vector = (provider_data(provider_id) or {})["vectors"]["good"]
    request = {name: vector[name] for name in ("headers", "body", "now")}
    aux = {"config": vector.get("config", {}), **aux}
    (explanation,) = explained({"provider": provider_id, "url": "https://api.example.org/w", **request, "aux": aux})
    return explanation["result"], explanation["reason"]
