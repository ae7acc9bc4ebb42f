"""Why a delivery was refused, as its webhook's owner reads it."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from shared.webhooks.delivery import Delivery
from shared.webhooks.intake.diagnosis import diagnose
from shared.webhooks.signatures.verification import verify
from tests.unit.webhooks.builders import fitted, good

NOW = 1_700_000_000.0
BODY = '{\n  "name": "Zoë",\n  "n": 1\n}'.encode()
COMPACT = json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode()
ESCAPED = json.dumps(json.loads(BODY), separators=(",", ":")).encode()


def why(provider_id: str, delivery: Delivery, *secrets: str, now: float = NOW) -> tuple[str, str]:
    """The delivery log's verdict and reason."""
    found = fitted(provider_id)
    reason = verify(found.scheme, delivery, secrets, now).reason
    assert reason is not None
    return diagnose(found, delivery, secrets, now, reason)


def signed(body: bytes, secret: str = "key") -> Delivery:
    """A delivery of GitHub's."""
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return Delivery("POST", {"x-hub-signature-256": f"sha256={mac}"}, body)


@pytest.mark.parametrize(
    ("sent", "arrived", "reason"),
    [
        (BODY, BODY + b"\r\n", "line breaks were added at its end"),
        (BODY + b"\n", BODY, "the line break at its end was cut off"),
        (BODY, BODY.replace(b"\n", b"\r\n"), "its line breaks were changed"),
        (BODY.replace(b"\n", b"\r\n"), BODY, "its line breaks were changed"),
        (BODY, b"\xef\xbb\xbf" + BODY, "a byte order mark was added"),
        (COMPACT, BODY, "its JSON was written again with other spaces"),
        (ESCAPED, BODY, "its JSON was written again, unescaped"),
    ],
)
def test_what_a_proxy_did_to_a_body_is_named(sent: bytes, arrived: bytes, reason: str) -> None:
    """What was signed can be made of what came: the secret is right."""
    assert why("github", replace(signed(sent), body=arrived), "key") == (
        "rejected_signature",
        f"body_modified: {reason}",
    )


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("another", "wrong_secret"),
        (" key\n", "wrong_secret: there is blank space around it"),
        ("a2V5", "wrong_secret: it would fit as base64"),
        ("6b6579", "wrong_secret: it would fit as hex"),
    ],
)
def test_a_secret_that_nearly_fits_is_recognised(secret: str, reason: str) -> None:
    """Pasted with space around it, or as the encoding of the right one."""
    assert why("github", signed(BODY), secret) == ("rejected_signature", reason)


@pytest.mark.parametrize(
    ("seconds", "reason"), [(600, "timestamp_too_old: 600 s"), (-400, "timestamp_in_future: 400 s")]
)
def test_a_clock_that_is_wrong_is_told_with_its_skew(seconds: int, reason: str) -> None:
    """The verdict says that the signature is right."""
    _, delivery, data = good("standard_webhooks")
    found = why("standard_webhooks", delivery, data["secret"], now=data["now"] + seconds)
    assert found == ("rejected_stale", reason)


def test_a_part_that_is_missing_or_malformed_is_named() -> None:
    """The header that is not there; the signature that is none; the timestamp that nobody can read."""
    _, delivery, data = good("slack")
    secret, now = data["secret"], data["now"]

    def without(name: str, value: str | None = None) -> tuple[str, str]:
        headers = {n: v for n, v in delivery.headers.items() if n != name} | ({} if value is None else {name: value})
        return why("slack", replace(delivery, headers=headers), secret, now=now)

    assert without("x-slack-signature") == ("rejected_signature", "header_missing: header:X-Slack-Signature")
    assert without("x-slack-signature", "v0=zz") == ("rejected_signature", "signature_malformed")
    assert without("x-slack-request-timestamp")[1].startswith("header_missing: ")


def test_another_providers_delivery_is_recognised() -> None:
    """By the header that it alone has; a header that several have says nothing."""
    stripe = Delivery("POST", {"stripe-signature": "t=1,v1=00"}, b"{}")
    assert why("github", stripe, "key")[1] == "wrong_provider_path: this looks like a delivery of stripe"
    shared = Delivery("POST", {"x-signature": "00"}, b"{}")
    assert why("github", shared, "key")[1] == "header_missing: header:X-Hub-Signature-256"
