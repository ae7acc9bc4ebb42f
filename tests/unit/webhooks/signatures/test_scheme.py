"""Each kind of scheme, and the holes that others have had in it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from local.signing.deliveries import sign
from local.signing.private_keys import sign_with
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.intake.pipeline import examine
from shared.webhooks.providers.configuration import config_problems
from shared.webhooks.providers.provider import Provider, fit
from shared.webhooks.signatures.public_keys import ed25519_key
from shared.webhooks.signatures.transforms import MAX_INFLATED_BYTES
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import fitted

NOW = 1_700_000_000.0
HEADER = {"in": "header:S", "encoding": "hex"}


def made(scheme: JsonObject, config: JsonObject | None = None, **tables: Any) -> Provider:
    """A provider of one scheme."""
    return fit({"id": "made", "title": "Made", "scheme": {"key_encoding": "utf8", **scheme}, **tables}, config or {})


def reason(provider: Provider, delivery: Delivery, *secrets: str, now: float = NOW) -> str | None:
    """Why the delivery is refused."""
    return verify(provider.scheme, delivery, secrets, now).reason


def public_pem(key: Any) -> str:
    """The public key in PEM."""
    written = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return str(written.decode())


def private_pem(key: Any) -> str:
    """The private key in PEM."""
    kind = serialization.PrivateFormat.PKCS8
    written = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return str(written.decode())


def token(claims: JsonObject, key: str, alg: str = "HS256", name: str = "sha256") -> str:
    """A compact JWS under an HMAC."""
    head, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": alg}, claims)
    )
    signed = f"{head}.{payload}"
    digest = hmac.digest(key.encode(), signed.encode(), name)
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_a_hash_with_the_secret_inside_verifies() -> None:
    """Plain hashes are taken from senders that know nothing better."""
    provider = made({"kind": "hash", "algorithm": "sha1", "content": "{body}{secret}", "signature": HEADER})
    delivery = Delivery("POST", {"s": hashlib.sha1(b"{}key").hexdigest()}, b"{}")
    assert reason(provider, delivery, "key") is None
    assert reason(provider, delivery, "other") == "signature_mismatch"


def test_a_hash_without_the_secret_is_refused_as_a_scheme() -> None:
    """Anybody can hash a body."""
    with pytest.raises(ValueError, match="no \\{secret\\}"):
        made({"kind": "hash", "algorithm": "sha256", "content": "{body}", "signature": HEADER})


def test_what_covers_no_body_must_say_so() -> None:
    """A provider file cannot leave the body open by mistake."""
    scheme = {"kind": "token", "signature": {"in": "header:T"}}
    with pytest.raises(ValueError, match="covers_body"):
        made(scheme)
    provider = made({**scheme, "covers_body": False})
    assert reason(provider, Delivery("POST", {"t": "key"}, b""), "key") is None
    for text in ("", "ke", "keyy", "KEY", "key,key", "\x00"):
        assert reason(provider, Delivery("POST", {"t": text}, b""), "key") is not None
    assert reason(provider, Delivery("POST", {"t": ""}, b""), "") is not None


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (b"Basic " + base64.b64encode(b"user:pass:word"), True),
        (b"basic " + base64.b64encode(b"user:pass:word"), True),
        (b"Basic " + base64.b64encode(b"user:pass"), False),
        (b"Basic " + base64.b64encode(b":"), False),
        (b"Bearer " + base64.b64encode(b"user:pass:word"), False),
        (b"Basic user:pass:word", False),
    ],
)
def test_basic_auth_compares_user_and_password(header: bytes, accepted: bool) -> None:
    """The scheme's name has no case; everything else is exact."""
    provider = made({"kind": "basic", "covers_body": False})
    delivery = Delivery("POST", {"authorization": header.decode()}, b"")
    assert (reason(provider, delivery, "user:pass:word") is None) is accepted


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("ecdsa-p256-sha256", ec.generate_private_key(ec.SECP256R1())),
        ("rsa-sha256", rsa.generate_private_key(65537, 2048)),
        ("rsa-sha1", rsa.generate_private_key(65537, 2048)),
        ("rsa-pss-sha256", rsa.generate_private_key(65537, 2048)),
    ],
)
def test_a_public_key_verifies(algorithm: str, key: Any) -> None:
    """The webhook's secret is the provider's public key."""
    signature = {"in": "header:S", "encoding": "base64"}
    provider = made(
        {
            "kind": "asymmetric",
            "algorithm": algorithm,
            "content": "{body}",
            "key_encoding": "pem",
            "signature": signature,
        }
    )
    signed = sign_with(algorithm, private_pem(key), b"{}")
    delivery = Delivery("POST", {"s": base64.b64encode(signed).decode()}, b"{}")
    assert reason(provider, delivery, public_pem(key)) is None
    assert reason(provider, replace(delivery, body=b"{} "), public_pem(key)) == "signature_mismatch"
    assert reason(provider, delivery, public_pem(ed25519.Ed25519PrivateKey.generate())) == "signature_mismatch"
    assert reason(provider, delivery, "no key") == "secret_unusable"


LOW_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("key", LOW_ORDER)
def test_a_key_of_small_order_is_no_key(key: str) -> None:
    """Under such a key a signature of nothing verifies for any message; the library would take it."""
    assert ed25519_key(bytes.fromhex(key)) is None
    scheme = {"kind": "asymmetric", "algorithm": "ed25519", "content": "{body}", "signature": HEADER}
    provider = made({**scheme, "key_encoding": "hex"})
    forged = Delivery("POST", {"s": "01" + "00" * 63}, b"anything")
    assert reason(provider, forged, key) == "secret_unusable"


def test_a_token_binds_the_body_by_a_claim() -> None:
    """The signature is the token's, and the body is the one that it names."""
    provider = made(
        {
            "kind": "jwt",
            "algorithm": "HS256",
            "signature": {"in": "header:Authorization", "prefix": "Bearer "},
            "claims": {"iss": "sender", "body": "{body|sha256|hex}"},
            "requires": ["exp"],
        }
    )
    claims = {"iss": "sender", "body": hashlib.sha256(b"{}").hexdigest(), "exp": NOW + 60}

    def verdict(found: JsonObject, body: bytes = b"{}", **made_with: str) -> str | None:
        text = token(found, made_with.get("key", "key"), made_with.get("alg", "HS256"), made_with.get("name", "sha256"))
        return reason(provider, Delivery("POST", {"authorization": f"Bearer {text}"}, body), "key")

    assert verdict(claims) is None
    assert verdict(claims, b"[]") == "body_modified"
    assert verdict({**claims, "iss": "another"}) == "claim_mismatch: iss"
    assert verdict({**claims, "exp": NOW - 60}) == "timestamp_too_old: 60 s"
    assert verdict({k: v for k, v in claims.items() if k != "exp"}) == "claim_missing: exp"
    assert verdict({**claims, "nbf": NOW + 60}) == "timestamp_in_future: 60 s"
    assert verdict(claims, key="other") == "signature_mismatch"
    assert verdict(claims, alg="HS512", name="sha512") == "signature_malformed: its alg is not HS256"
    assert verdict(claims, alg="none") == "signature_malformed: its alg is not HS256"


def test_a_public_key_is_never_an_hmac_key() -> None:
    """The best-known hole of tokens: HS256 under the text of the RS256 key."""
    key = rsa.generate_private_key(65537, 2048)
    provider = made(
        {
            "kind": "jwt",
            "algorithm": "RS256",
            "key_encoding": "pem",
            "covers_body": False,
            "signature": {"in": "header:T"},
        }
    )
    forged = Delivery("POST", {"t": token({}, public_pem(key))}, b"")
    assert reason(provider, forged, public_pem(key)) == "signature_malformed: its alg is not RS256"


def test_every_item_of_a_batch_must_verify() -> None:
    """One good item does not carry a forged one in."""
    provider = made(
        {
            "kind": "hmac",
            "algorithm": "sha256",
            "covers_body": False,
            "content": "{item:id}:{item:amount?}",
            "items": "json:items[]",
            "signature": {"in": "item:mac", "encoding": "hex"},
        }
    )

    def item(number: int, amount: str, key: bytes = b"key") -> JsonObject:
        mac = hmac.new(key, f"{number}:{amount}".encode(), hashlib.sha256).hexdigest()
        return {"id": number, "mac": mac, **({"amount": amount} if amount else {})}

    def verdict(*items: JsonObject) -> str | None:
        return reason(provider, Delivery("POST", {}, json.dumps({"items": items}).encode()), "key")

    assert verdict(item(1, "5"), item(2, "")) is None
    assert verdict(item(1, "5"), item(2, "7", b"other")) == "signature_mismatch"
    assert verdict({**item(1, "5"), "amount": "6"}) == "signature_mismatch"
    assert verdict() == "signature_malformed: no items"


def test_the_url_that_is_signed_is_the_registered_one() -> None:
    """The Host header is the sender's: it never makes the URL."""
    provider = made({"kind": "hmac", "algorithm": "sha1", "content": "{url}{form_sorted}", "signature": HEADER})
    form = {"host": "evil.example", "content-type": "application/x-www-form-urlencoded"}
    delivery = Delivery("POST", form, b"b=2&a=1", url="https://api.example.org/w", raw_query="q=1")
    mac = hmac.new(b"key", b"https://api.example.org/w?q=1a1b2", hashlib.sha1).hexdigest()
    assert reason(provider, replace(delivery, headers={**form, "s": mac}), "key") is None
    mac = hmac.new(b"key", b"https://evil.example/w?q=1a1b2", hashlib.sha1).hexdigest()
    assert reason(provider, replace(delivery, headers={**form, "s": mac}), "key") == "signature_mismatch"


def test_canonical_json_is_never_a_fallback() -> None:
    """A body that is signed as it is may not be written differently."""
    provider = made({"kind": "hmac", "algorithm": "sha256", "content": "{body}", "signature": HEADER})
    mac = hmac.new(b"key", b'{"a":1}', hashlib.sha256).hexdigest()
    assert reason(provider, Delivery("POST", {"s": mac}, b'{"a": 1}'), "key") == "signature_mismatch"
    provider = made({"kind": "hmac", "algorithm": "sha256", "content": "{body|sorted_json}", "signature": HEADER})
    assert reason(provider, Delivery("POST", {"s": mac}, b'{ "a" : 1 }'), "key") is None


def test_inflating_is_never_a_fallback() -> None:
    """Bytes are signed as they came unless the file says otherwise; a bomb is no body."""
    packed, scheme = gzip.compress(b"{}"), {"kind": "hmac", "algorithm": "sha256", "signature": HEADER}
    plain = made({**scheme, "content": "{body}"})
    inflated = made({**scheme, "content": "{body|gunzip}"})

    def verdict(provider: Provider, signed: bytes, body: bytes) -> str | None:
        mac = hmac.new(b"key", signed, hashlib.sha256).hexdigest()
        return reason(provider, Delivery("POST", {"s": mac, "content-encoding": "gzip"}, body), "key")

    assert verdict(plain, packed, packed) is None
    assert verdict(plain, b"{}", packed) == "signature_mismatch"
    assert verdict(inflated, b"{}", packed) is None
    assert verdict(inflated, b"{}", packed[:-1]) == "header_missing: body|gunzip"
    bomb = gzip.compress(b"0" * (MAX_INFLATED_BYTES + 1))
    assert verdict(inflated, b"{}", bomb) == "header_missing: body|gunzip"


def test_a_challenge_is_no_event() -> None:
    """What is signed for anybody as a challenge is not taken for a delivery, and an event is not signed."""
    handshake = {
        "method": "GET",
        "signed": False,
        "when": {"query:crc": ""},
        "pattern": {"query:crc": ".+"},
        "let": {"mac": "{query:crc|hmac:sha256|hex}"},
        "json": {"token": "{let:mac}"},
    }
    scheme = {"kind": "hmac", "algorithm": "sha256", "content": "{body}", "signature": HEADER}
    provider = made(scheme, handshake=[handshake])

    def asked(text: str) -> Any:
        return examine(provider, Delivery("GET", {}, b"", {"crc": text}), ["key"], NOW).handshake

    mac = hmac.new(b"key", b"abc-1", hashlib.sha256).hexdigest()
    assert json.loads(asked("abc-1").answer.body) == {"token": mac}
    assert asked('{"event": "forged"}') is None
    found = examine(provider, Delivery("POST", {"s": mac}, b"abc-1"), ["key"], NOW).verification
    assert found is not None
    assert found.reason == "body_malformed: it has the form of a challenge"


def test_an_unsigned_handshake_that_signs_needs_a_pattern() -> None:
    """A file cannot make us sign whatever is asked."""
    handshake = {"method": "GET", "signed": False, "when": {"query:c": ""}, "body": "{query:c|hmac:sha256|hex}"}
    scheme = {"kind": "hmac", "algorithm": "sha256", "content": "{body}", "signature": HEADER}
    with pytest.raises(ValueError, match="pattern"):
        made(scheme, handshake=[handshake])


def test_no_verification_is_an_explicit_choice() -> None:
    """A provider that signs nothing is taken only where the webhook says so."""
    data = {"id": "open", "title": "Open", "scheme": {"kind": "none", "covers_body": False}}
    (problem,) = config_problems(data, {})
    assert problem.pointer == "/accept_unverified"
    assert config_problems(data, {"accept_unverified": True}) == []


@pytest.mark.parametrize(
    ("config", "delivery"),
    [
        ({}, Delivery("POST", {"authorization": "Bearer token-1"}, b"")),
        ({"place": "header:X-Token"}, Delivery("POST", {"x-token": "token-1"}, b"")),
        ({"place": "query:token"}, Delivery("POST", {}, b"", {"token": "token-1"})),
        ({"place": "json:auth.token"}, Delivery("POST", {}, b'{"auth": {"token": "token-1"}}')),
        (
            {"place": "header:Authorization", "prefix": "Token "},
            Delivery("POST", {"authorization": "Token token-1"}, b""),
        ),
    ],
)
def test_a_token_stands_where_the_configuration_says(config: JsonObject, delivery: Delivery) -> None:
    """As it is there, unless a prefix is named: the default's `Bearer` belongs to the default's header."""
    provider = fitted("generic_token", **config)
    assert reason(provider, delivery, "token-1") is None
    assert reason(provider, delivery, "token-2") == "signature_mismatch"


@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example.com/a.pem",
        "https://keys.example.com.evil.example/a.pem",
        "https://keys.example.com@evil.example/a.pem",
        "https://evil.example/keys.example.com/a.pem",
        "https://keys.example.com:8443/a.pem",
        "https://keys.example.com/a.txt",
        "https://keys.example.com\\.evil.example/a.pem",
        "//keys.example.com/a.pem",
        "",
    ],
)
def test_keys_are_fetched_from_the_providers_hosts_alone(url: str) -> None:
    """A delivery that names another place has no key."""
    from shared.webhooks.delivery import SignatureContext

    fetch = {
        "url": "{header:Cert}",
        "hosts": ["keys.example.com"],
        "path_pattern": ".*[.]pem",
        "format": "x509",
    }
    scheme = {"kind": "asymmetric", "algorithm": "rsa-sha256", "content": "{body}", "key_encoding": "pem"}
    provider = made({**scheme, "signature": HEADER, "fetch": fetch})
    assert provider.scheme.fetch is not None
    assert provider.scheme.fetch.url_for(SignatureContext(Delivery("POST", {"cert": url}, b""))) is None
    right = "https://keys.example.com/a.pem"
    assert provider.scheme.fetch.url_for(SignatureContext(Delivery("POST", {"cert": right}, b""))) == right


@pytest.mark.parametrize("secret", ["", " ", "\x00", "\t\x00\n"])
@pytest.mark.parametrize("kind", ["hmac", "hash", "token", "jwt"])
def test_a_blank_secret_opens_no_kind_of_scheme(kind: str, secret: str) -> None:
    """Empty, blank and NUL-only secrets disable."""
    algorithms = {"hmac": "sha256", "hash": "sha256", "jwt": "HS256"}
    scheme: JsonObject = {"kind": kind, "covers_body": False, "content": "{secret}{body}", "signature": HEADER}
    if kind in algorithms:
        scheme["algorithm"] = algorithms[kind]
    if kind in ("token", "jwt"):
        scheme |= {"content": "{secret}", "signature": {"in": "header:S"}}
    provider = made(scheme)
    proof = {
        "hmac": hmac.new(secret.encode(), secret.encode() + b"x", hashlib.sha256).hexdigest(),
        "hash": hashlib.sha256(secret.encode() + b"x").hexdigest(),
        "token": secret,
        "jwt": token({}, secret),
    }[kind]
    assert reason(provider, Delivery("POST", {"s": proof}, b"x"), secret) is not None


def test_a_key_made_of_a_template_is_signed_and_verified() -> None:
    """Some keys have something beside the secret."""
    scheme = {"kind": "hmac", "algorithm": "sha1", "content": "{body}", "key": "{config:id}&{secret}"}
    provider = made({**scheme, "signature": HEADER})
    delivery = Delivery("POST", {}, b"{}", config={"id": "client"})
    signed = replace(delivery, headers=sign(provider, delivery, "key", NOW))
    assert signed.headers["s"] == hmac.new(b"client&key", b"{}", hashlib.sha1).hexdigest()
    assert reason(provider, signed, "key") is None


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"event_types": "push"}, "/event_types"),
        ({"ip_allow": ["192.0.2.1/8"]}, "/ip_allow"),
        ({"ip_allow": ["here"]}, "/ip_allow"),
        ({"response": {"status": 500}}, "/response/status"),
        ({"response": {"headers": {"Set-Cookie": "a"}}}, "/response/headers"),
        ({"response": {"headers": {"X-A": "a\r\nb"}}}, "/response/headers"),
        ({"rate_limit": {"per_minute": 0}}, "/rate_limit"),
        ({"url": "https://example.org/?q=1"}, "/url"),
        ({"filter": "$trigger.body"}, "/filter"),
        ({"filter": "{% 1 + %}"}, "/filter"),
        ({"filter": "{% $nodes.a %}"}, "/filter"),
        ({"filter": "{% " + "1 + " * 2_000 + "1 > 0 %}"}, "/filter"),
        ({"response": {"headers": {f"X-{n}": "a" for n in range(101)}}}, "/response/headers"),
        ({"response": {"headers": {"X-A": "a" * 1001}}}, "/response/headers"),
        ({"filter": "{% body.action = 'opened' %}"}, "/filter"),
        ({"filter": "{% $count(**) > 3 %}"}, "/filter"),
    ],
)
def test_a_wrong_door_is_pointed_at(config: JsonObject, pointer: str) -> None:
    """The options of the door are checked when the webhook is saved."""
    data = {"id": "made", "title": "Made", "scheme": {"kind": "basic", "covers_body": False}}
    assert [problem.pointer for problem in config_problems(data, config)] == [pointer]


def test_a_right_door_has_no_problems() -> None:
    """Everything at once."""
    data = {"id": "made", "title": "Made", "scheme": {"kind": "basic", "covers_body": False}}
    config = {
        "event_types": ["push", "pull_request.*"],
        "filter": "{% $trigger.body.n > 1 %}",
        "ip_allow": ["192.0.2.0/24", "2001:db8::1"],
        "response": {"status": 200, "headers": {"Content-Type": "text/xml"}, "body": "<ok/>"},
        "rate_limit": {"per_minute": 60, "burst": 10},
        "url": "https://example.org/hooks/a",
    }
    assert config_problems(data, config) == []


def test_an_event_is_no_ping() -> None:
    """What must not be there may be an object, which has no text of its own."""
    ping = {"method": "POST", "when": {"json:type": "1"}, "unless": ["json:event"], "json": {"type": 1}}
    provider = made({"kind": "hmac", "algorithm": "sha256", "content": "{body}", "signature": HEADER}, handshake=[ping])

    def is_handshake(body: bytes) -> bool:
        mac = hmac.new(b"key", body, hashlib.sha256).hexdigest()
        return examine(provider, Delivery("POST", {"s": mac}, body), ["key"], NOW).handshake is not None

    assert is_handshake(b'{"type": 1}')
    assert not is_handshake(b'{"type": 1, "event": {"a": 1}}')
