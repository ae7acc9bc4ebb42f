"""Configurations, templates and handshakes: what the grammar allows."""

from __future__ import annotations

from typing import Any

import pytest

from shared.json_types import JsonObject
from shared.webhooks.delivery import Answer, Delivery, SignatureContext
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.configuration import config_problems
from shared.webhooks.providers.handshake import answer, parse_handshake
from shared.webhooks.signatures.fields import parse_source
from shared.webhooks.signatures.scheme import compile_scheme
from shared.webhooks.signatures.template import parse_template
from tests.unit.webhooks.builders import fitted

GENERIC = provider_data("generic_hmac") or {}


def answered(handshakes: Any, delivery: Delivery, verified: bool = False) -> Answer | None:
    """What a handshake is answered."""
    found = answer(handshakes, delivery, verified=verified)
    return found and found.answer


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"colour": "red"}, "/colour"),
        ({"algorithm": "md5"}, "/algorithm"),
        ({"header": 7}, "/header"),
        ({"header": ""}, "/header"),
        ({"content": "x" * 201}, "/content"),
        ({"tolerance_seconds": "5"}, "/tolerance_seconds"),
        ({"tolerance_seconds": True}, "/tolerance_seconds"),
        ({"content": "constant"}, ""),
        ({"content": "{ts}.{body}"}, ""),
        ({"content": "{boddy}"}, ""),
        ({"content": "{body"}, ""),
        ({"timestamp_header": "X-Time"}, ""),
        ({"delivery_id": "nowhere"}, ""),
        ({"header": "X A"}, ""),
        ({"header": "X:A"}, ""),
        ({"delivery_id": "header:"}, ""),
    ],
)
def test_a_wrong_configuration_is_pointed_at(config: JsonObject, pointer: str) -> None:
    """What does not fit is found when the webhook is saved, not when a delivery comes."""
    assert [problem.pointer for problem in config_problems(GENERIC, config)] == [pointer]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"header": "X-Sig", "algorithm": "sha1", "encoding": "base64url", "prefix": "sha1="},
        {"content": "{method}{url}{header:x-id}{ts}{body}", "timestamp_header": "T", "timestamp_unit": "ms"},
        {"delivery_id": "json:id", "event_type": "json:event.type"},
    ],
)
def test_a_right_configuration_has_no_problems(config: JsonObject) -> None:
    """The generic scheme covers what senders do."""
    assert config_problems(GENERIC, config) == []


def test_a_provider_without_options_takes_no_configuration() -> None:
    """A misspelt or pointless setting is not kept in silence."""
    (problem,) = config_problems(provider_data("github") or {}, {"algorithm": "sha1"})
    assert problem.pointer == "/algorithm"
    assert problem.suggestion is not None
    assert problem.suggestion.startswith("It has what every webhook has: durability, event_types, ")
    (problem,) = config_problems(provider_data("github") or {}, {"event_type": ["push"]})
    assert problem.suggestion == "Did you mean event_types?"


def test_a_template_renders_each_word() -> None:
    """Every word gives its bytes, and a missing one gives nothing at all."""
    template = parse_template("{method} {url} {ts} {header:X-A}{query:q}{json:a.b} {body}")
    delivery = Delivery("POST", {"x-a": "h"}, b'{"a":{"b":7}}', {"q": "1"}, "https://example.org/w")
    assert template.render(SignatureContext(delivery, "17")) == b'POST https://example.org/w 17 h17 {"a":{"b":7}}'
    assert template.render(SignatureContext(delivery)) is None
    assert parse_template("{header:x-b}{body}").render(SignatureContext(delivery, "17")) is None


@pytest.mark.parametrize("text", ["header", "cookie:a", "json:", ""])
def test_an_unknown_source_is_refused(text: str) -> None:
    """A file or configuration that names no place is an error, not a silence."""
    with pytest.raises(ValueError, match="names no place"):
        parse_source(text)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "rot13"},
        {"algorithm": "md4"},
        {"content": "{ts}"},
        {"salt": "x"},
        {"signature": {"in": "header:S", "encoding": "hex", "format": "single", "extra": "x"}},
        {"signature": {"in": "header:S", "encoding": "hex", "format": "list", "separator": ""}},
        {"signature": {"in": "header:S", "encoding": "rot13", "format": "single"}},
    ],
)
def test_a_scheme_outside_the_grammar_is_refused(change: JsonObject) -> None:
    """A typing error in a provider's file is found by its tests, not by its users."""
    scheme = GENERIC["scheme"] | change
    with pytest.raises(ValueError, match=r"must|not known|not said|content"):
        compile_scheme(scheme, None)


def test_pairs_are_read_from_one_header() -> None:
    """`t=…,v1=…,v1=…` carries the time and several signatures; two times contradict each other."""
    from local.signing.deliveries import sign
    from shared.webhooks.providers.provider import fit
    from shared.webhooks.signatures.verification import verify

    data = {
        "id": "pairs",
        "title": "Pairs",
        "scheme": {
            "kind": "hmac",
            "algorithm": "sha256",
            "content": "{ts}.{body}",
            "key_encoding": "utf8",
            "signature": {"in": "header:Sig", "encoding": "hex", "format": "pairs", "separator": ",", "name": "v1"},
        },
        "timestamp": {"in": "signature:t", "unit": "s"},
    }
    provider = fit(data, {})
    right = sign(provider, Delivery("POST", {}, b"{}"), "key", 1000)["sig"]
    verdicts = {
        right: None,
        f"{right},v1={'0' * 64}": None,
        f"v1={'0' * 64},{right}": None,
        f"v0={'0' * 64}, {right}": None,
        f"{right},t=1001": "timestamp_malformed",
        right.replace("t=1000", "t=1001"): "signature_mismatch",
        right.partition(",")[2]: "header_missing: signature:t",
    }
    for text, reason in verdicts.items():
        found = verify(provider.scheme, Delivery("POST", {"sig": text}, b"{}"), ["key"], 1000)
        assert found.reason == reason, text


def test_a_challenge_is_echoed() -> None:
    """A GET with a challenge is answered with it, and one without is no handshake."""
    handshake = parse_handshake(
        {"method": "GET", "signed": False, "when": {"query:challenge": ""}, "body": "{query:challenge}"}
    )
    asked = Delivery("GET", {}, b"", {"challenge": "abc"})
    assert answered([handshake], asked) == Answer(200, b"abc", "text/plain")
    assert answer([handshake], Delivery("GET", {}, b""), verified=False) is None
    assert answer([handshake], Delivery("GET", {}, b"", {"challenge": "x" * 5000}), verified=False) is None


def test_a_ping_is_answered_only_when_it_verifies() -> None:
    """A signed handshake is not looked at before its signature."""
    ping = Delivery("POST", {"x-github-event": "ping"}, b"{}")
    handshakes = fitted("github").handshakes
    assert answer(handshakes, ping, verified=False) is None
    assert answered(handshakes, ping, verified=True) == Answer(200, b"", "text/plain")
    assert answer(handshakes, Delivery("POST", {"x-github-event": "push"}, b"{}"), verified=True) is None


def test_an_unsigned_handshake_needs_a_condition() -> None:
    """A file cannot answer every delivery away."""
    with pytest.raises(ValueError, match="condition"):
        parse_handshake({"method": "POST", "signed": False})
