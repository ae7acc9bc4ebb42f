"""The rules of verification, each learnt from somebody's hole."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

import pytest

from local.signing.deliveries import sign
from shared.webhooks.delivery import Delivery
from shared.webhooks.signatures.timestamps import UNITS, WRITTEN
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import fitted, good

NOW = 1_700_000_000.0


def signed(secret: str, now: float = NOW, body: bytes = b"{}", **config: str) -> tuple[Delivery, dict[str, str]]:
    """A generic delivery and the configuration under which it was signed."""
    delivery = Delivery("POST", {}, body)
    return replace(delivery, headers=sign(fitted("generic_hmac", **config), delivery, secret, now)), config


@pytest.mark.parametrize("secret", ["", " ", "\t\n", "\x00", "\x00\x00 \n"])
def test_a_blank_secret_disables(secret: str) -> None:
    """A secret that is nothing opens nothing, also not for who signs with nothing."""
    delivery, _ = signed("whatever")
    assert verify(fitted("generic_hmac").scheme, delivery, [secret], NOW).reason == "secret_unusable"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_====", "whsec_not base64!", "whsec_AAAA", "whsec_" + "A" * 20])
def test_a_secret_that_decodes_to_nothing_disables(secret: str) -> None:
    """A key of no bytes, of NULs, or not in its encoding opens nothing."""
    provider, delivery, data = good("standard_webhooks")
    assert verify(provider.scheme, delivery, [secret], data["now"]).reason == "secret_unusable"


def test_no_secret_at_all_disables() -> None:
    """A webhook without a secret takes no deliveries."""
    provider, delivery, data = good("github")
    assert verify(provider.scheme, delivery, [], data["now"]).reason == "secret_unusable"


@pytest.mark.parametrize("secrets", [["old", "new"], ["new", "old"], ["", "new"]])
def test_any_usable_secret_verifies(secrets: list[str]) -> None:
    """During a rotation both secrets verify, in any order."""
    delivery, _ = signed("new")
    assert verify(fitted("generic_hmac").scheme, delivery, secrets, NOW).accepted


def test_all_candidates_are_tried() -> None:
    """In a list of signatures the right one may stand anywhere; other versions are passed over."""
    provider, delivery, data = good("standard_webhooks")
    right = delivery.headers["webhook-signature"]
    wrong = f"v1,{'A' * 43}="
    for value in (f"{wrong} {right}", f"{right} {wrong}", f"v1a,x v2,{right[3:]} {right}", f"  {right} "):
        provider, delivery, data = good("standard_webhooks", webhook_signature=value)
        assert verify(provider.scheme, delivery, [data["secret"]], data["now"]).accepted, value
    provider, delivery, data = good("standard_webhooks", webhook_signature=f"v2,{right[3:]}")
    assert verify(provider.scheme, delivery, [data["secret"]], data["now"]).reason == "signature_malformed"


def test_a_doubled_single_signature_is_refused() -> None:
    """A gateway folds two headers into one with a comma; neither is taken, even when one is right."""
    right = good("github")[1].headers["x-hub-signature-256"]
    wrong = "sha256=" + "0" * 64
    for value in (f"{wrong},{right}", f"{right},{wrong}", f"{right}, {right}"):
        provider, delivery, data = good("github", x_hub_signature_256=value)
        assert verify(provider.scheme, delivery, [data["secret"]], data["now"]).reason == "signature_malformed"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (None, "header_missing: header:X-Hub-Signature-256"),
        ("", "signature_malformed"),
        ("sha256=", "signature_malformed"),
        ("sha1=" + "0" * 40, "signature_malformed"),
        ("sha256=" + "0" * 63, "signature_malformed"),
        ("sha256=" + "zz" * 32, "signature_malformed"),
        ("sha256= " + "0" * 63, "signature_malformed"),
        ("sha256=" + "\u0660" * 64, "signature_malformed"),
        ("sha256=\ud800", "signature_malformed"),
        ("sha256=" + "0" * 64, "signature_mismatch"),
    ],
)
def test_a_bad_signature_says_why(changed: str | None, reason: str) -> None:
    """The owner of a webhook learns what to mend."""
    provider, delivery, data = good("github", x_hub_signature_256=changed)
    assert verify(provider.scheme, delivery, [data["secret"]], data["now"]).reason == reason


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (300, None),
        (-300, None),
        (301, "timestamp_too_old: 301 s"),
        (-301, "timestamp_in_future: 301 s"),
    ],
)
def test_a_timestamp_must_be_near(age: int, reason: str | None) -> None:
    """Deliveries are taken for five minutes around their time."""
    provider, delivery, data = good("standard_webhooks")
    assert verify(provider.scheme, delivery, [data["secret"]], data["now"] + age).reason == reason


def test_a_stale_forgery_is_a_forgery() -> None:
    """Who cannot sign learns nothing about our clock."""
    provider, delivery, data = good("standard_webhooks", webhook_timestamp="1")
    assert verify(provider.scheme, delivery, [data["secret"]], data["now"]).reason == "signature_mismatch"


@pytest.mark.parametrize("text", ["+1", " 1", "1_0", "1e9", "١٢", "-5", "", "0x10", "1" * 30, "nan"])
def test_a_malformed_timestamp_is_refused(text: str) -> None:
    """Only plain digits are a Unix time."""
    assert UNITS["s"](text) is None


@pytest.mark.parametrize("unit", list(UNITS))
def test_each_unit_reads_what_it_writes(unit: str) -> None:
    """Every unit of the grammar goes both ways, and verifies."""
    assert UNITS[unit](WRITTEN[unit](NOW)) == NOW
    delivery, config = signed("key", content="{ts}.{body}", timestamp_header="X-Time", timestamp_unit=unit)
    scheme = fitted("generic_hmac", **config).scheme
    assert verify(scheme, delivery, ["key"], NOW + 1).accepted
    assert verify(scheme, delivery, ["key"], NOW + 1000).reason == "timestamp_too_old: 1000 s"


@pytest.mark.parametrize(
    ("unit", "text", "reason"),
    [
        ("s", "1700000000000", "timestamp_in_future"),
        ("ms", "1700000000", "timestamp_too_old"),
        ("s", "2023-11-14T22:13:20Z", "timestamp_malformed"),
        ("iso8601", "1700000000", "timestamp_malformed"),
    ],
)
def test_a_unit_is_never_guessed(unit: str, text: str, reason: str) -> None:
    """A time in another unit than the provider's is no time that is near, however well it is signed."""
    config = {"content": "{ts}.{body}", "timestamp_header": "X-Time", "timestamp_unit": unit}
    mac = hmac.new(b"key", text.encode() + b".{}", hashlib.sha256).hexdigest()
    delivery = Delivery("POST", {"x-time": text, "x-signature": mac}, b"{}")
    assert (verify(fitted("generic_hmac", **config).scheme, delivery, ["key"], NOW).reason or "").startswith(reason)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_each_algorithm_and_encoding_verifies(algorithm: str, encoding: str) -> None:
    """The generic scheme's choices all work, and none accepts another's signature."""
    delivery, config = signed("key", algorithm=algorithm, encoding=encoding, prefix="v=")
    assert verify(fitted("generic_hmac", **config).scheme, delivery, ["key"], NOW).accepted
    other = "sha1" if algorithm != "sha1" else "sha256"
    scheme = fitted("generic_hmac", **{**config, "algorithm": other}).scheme
    assert not verify(scheme, delivery, ["key"], NOW).accepted


def test_the_body_is_taken_as_bytes() -> None:
    """Nothing is decoded before the MAC: bytes that are no text verify too."""
    delivery, _ = signed("key", body=b"\xff\xfe\x00 not text")
    assert verify(fitted("generic_hmac").scheme, delivery, ["key"], NOW).accepted


@pytest.mark.parametrize("text", ["AAA", "AB==", "A A=", "AA=A", "QQ==\n", "_-8="])
def test_base64_has_one_form(text: str) -> None:
    """Texts that a lenient decoder would take for the same bytes are refused."""
    from shared.webhooks.signatures.encodings import DECODERS

    assert DECODERS["base64"](text) is None
