"""User-defined schemes: whatever a tenant writes is refused with a pointer or runs in time that the request bounds."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Problem
from shared.json_types import JsonObject
from shared.webhooks.acceptance import takes_event
from shared.webhooks.delivery import LEAST_BYTES, TIMES_SENT, Delivery, WorkBudget
from shared.webhooks.intake.diagnosis import diagnose
from shared.webhooks.intake.pipeline import examine
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.configuration import config_problems
from shared.webhooks.providers.custom import MAX_CHARACTERS
from shared.webhooks.providers.provider import Provider, fit
from shared.webhooks.providers.shapes import CLASSES, parse_shape
from tests.custom_scheme import ASKED, SCHEME

CUSTOM = provider_data("custom") or {}


def problems(**config: Any) -> list[Problem]:
    """What is wrong with a configuration."""
    return config_problems(CUSTOM, {"scheme": SCHEME, **config})


def fitted(**config: Any) -> Provider:
    """The provider of a configuration that was stored, whatever would be said of it today."""
    return fit(CUSTOM, {"scheme": SCHEME, **config})


def asked(provider: Provider, c: str = "x", method: str = "GET", body: bytes = b"") -> Any:
    """What a question that nobody has signed is answered."""
    return examine(provider, Delivery(method, {}, body, {"c": c}), ["secret"], 0.0)


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"handshake": [ASKED, ASKED | {"pattern": {"query:c": "(a+)+"}}]}, "/handshake/1/pattern"),
        ({"handshake": [ASKED | {"pattern": {"query:c": "("}}]}, "/handshake/0/pattern"),
        ({"handshake": [ASKED | {"pattern": 1}]}, "/handshake/0/pattern"),
        ({"handshake": [ASKED | {"fetch_host_pattern": "(a+)+"}]}, "/handshake"),
        ({"handshake": [ASKED | {"shape": {"query:c": "(a+)+"}}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"shape": {"query:c": {"class": "hex", "length": 0}}}]}, "/handshake/0"),
        (
            {"handshake": [ASKED | {"shape": {"query:c": {"class": "hex", "min_length": 9, "max_length": 8}}}]},
            "/handshake/0",
        ),
        ({"handshake": [ASKED | {"shape": {"query:c": {"class": "hex", "pattern": "a"}}}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"shape": []}]}, "/handshake/0"),
        ({"handshake": [ASKED] * 21}, "/handshake"),
        ({"handshake": [ASKED | {"let": {"a": "{let:a}x"}}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"let": {"a": "{sorted:let:b|lower,body}", "b": "{body / let:a?}"}}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"let": {f"a{n}": f"{{let:a{n + 1}}}" for n in range(300)}}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"body": "{query:c" + "|hex" * 9 + "}"}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"content_type": "text/plain\r\nX-Bad: 1"}]}, "/handshake/0"),
        ({"handshake": [ASKED | {"headers": {"X-\u00e9": "1"}}]}, "/handshake/0"),
        ({"delivery": {"id": 5}}, "/delivery"),
        ({"event": {"type": [5]}}, "/event"),
        ({"timestamp": {"in": "header:X", "unit": []}}, "/timestamp"),
        ({"answer": {"status": "x"}}, "/answer"),
        ({"scheme": SCHEME | {"content": ["{body}"] * 9}}, "/scheme"),
        ({"scheme": SCHEME | {"content": "{sorted:" + "sorted:" * 500 + "body}"}}, "/scheme"),
        ({"scheme": SCHEME | {"let": {"a": "{let:b}", "b": "{let:a}"}}}, "/scheme"),
        ({"scheme": SCHEME | {"kind": []}}, "/scheme"),
        ({"scheme": SCHEME | {"kind": "basic", "signature": [1]}}, "/scheme"),
        ({"scheme": SCHEME | {"signature": {"in": "header:X", "encoding": {}}}}, "/scheme"),
    ],
)
def test_what_makes_no_sense_is_pointed_at(config: JsonObject, pointer: str) -> None:
    """One problem, at the table that has it."""
    assert [problem.pointer for problem in problems(**config)] == [pointer]


def test_a_shape_is_held_against_the_whole_text() -> None:
    """By class and length; a UUID is one."""
    provider = fitted(handshake=[ASKED | {"shape": {"query:c": {"class": "hex", "length": 4}}}])
    answered = {text: asked(provider, text).handshake is not None for text in ("a0F9", "a0F", "a0F9a", "a0G9", "")}
    assert answered == {"a0F9": True, "a0F": False, "a0F9a": False, "a0G9": False, "": False}
    uuid = parse_shape("uuid")
    assert uuid.fits("01234567-89AB-cdef-0123-456789abcdef")
    assert not uuid.fits("-" * 36)
    assert all(parse_shape(name).max_length <= 512 for name in CLASSES)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("signed", [True, False])
def test_a_stored_pattern_is_never_tried(method: str, signed: bool) -> None:
    """Such a handshake is not answered, and the delivery log says what its owner is to write; deliveries go on."""
    old = ASKED | {"method": method, "signed": signed, "pattern": {"query:c": "(a+)+$"}}
    provider = fitted(handshake=[old, ASKED | {"method": "HEAD"}])
    found = asked(provider, "a" * 5000 + "!", method, b"{}")
    assert found.handshake is None
    assert found.verification.reason.startswith("config_unusable: handshake.pattern")
    assert asked(provider, method="HEAD").handshake is not None
    other = examine(provider, Delivery("POST", {}, b"{}", {}), ["secret"], 0.0).verification
    assert other is not None
    assert (other.reason or "").startswith("header_missing")


GROWING = {
    "hex": "{body|hex|hex|hex|hex|hex|hex|hex|hex}",
    "url": "{body|" + "|".join(["url_encode"] * 8) + "}",
    "words": "{body|hex|hex}" * 250,
    "names": "{body|header_values:" + "x" * 3000 + "}",
    "lines": "{body|header_lines}" * 150,
    "items": "{json:[].a?}" * 250 + "{body}",
    "gunzip": "{body|gunzip|hex|hex|hex|hex}" * 100,
    "nfkd": "{body|nfkd|url_encode|nfkd|url_encode}" * 80,
}
BODIES = {
    "items": b"[" + b"{}," * 30_000 + b"{}]",
    "names": b"a," * 50_000,
    "lines": b"a," * 50_000,
    "nfkd": "\ufdfa".encode() * 30_000,
}


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_scheme_does_no_more_than_the_request_is_worth(name: str, size: int) -> None:
    """What grows in each step, or is asked for again and again, ends when the request's share of work is spent."""

    body = gzip.compress(b"\0" * 50_000_000) if name == "gunzip" else BODIES.get(name, b"\x00")[:1] * size
    body = BODIES.get(name, body) if size > 1 else body
    provider = fit(CUSTOM, {"scheme": SCHEME | {"content": [GROWING[name], "{body}" + GROWING[name]]}})
    delivery = Delivery("POST", {"x-sign": "00" * 32, "a": "y" * 100}, body)
    found = examine(provider, delivery, ["secret"], 0.0).verification
    assert found is not None
    assert found.reason is not None
    # However little is left, a step is refused before it is made; so no more was spent than there was, and one step.
    assert delivery.work._left > -1 * (LEAST_BYTES + TIMES_SENT * (len(body) + 1000))


def test_texts_that_double_one_another_end() -> None:
    """Each is rendered for the work that it is, not for ever."""
    wide = {f"a{n}": f"{{let:a{n + 1}}}" * 60 for n in range(3)} | {"a3": "x" * 50}
    provider = fitted(handshake=[ASKED | {"let": wide, "body": "{let:a0}"}])
    delivery = Delivery("GET", {}, b"", {"c": "x"})
    assert examine(provider, delivery, ["secret"], 0.0).handshake is None
    assert -LEAST_BYTES < delivery.work._left < 0


def test_large_bodies_of_every_kind_have_work_enough() -> None:
    """The largest body, written again and hashed with two secrets, is verified as ever."""

    body = json.dumps({"text": "x" * 4_000_000}).encode()
    content = "{body|compact_json|sha256|hex}"
    provider = fit(CUSTOM, {"scheme": SCHEME | {"content": content}})
    compact = json.dumps(json.loads(body), separators=(",", ":"))
    digest = hashlib.sha256(compact.encode()).hexdigest()
    signature = hmac.new(b"second", digest.encode(), "sha256").hexdigest()
    found = examine(provider, Delivery("POST", {"x-sign": signature}, body), ["first", "second"], 0.0).verification
    assert found is not None
    assert found.accepted


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{body}", "body_modified: line breaks were added at its end"),
        ("{body}" + "{body|hex|hex}" * 3, "wrong_secret"),
    ],
)
def test_a_scheme_that_is_much_work_is_not_guessed_at(content: str, reason: str) -> None:
    """What a forged delivery was meant to be is looked for where that costs little."""
    provider = fit(CUSTOM, {"scheme": SCHEME | {"content": content}})
    body = b"x" * 60_000
    signed = body + body.hex().encode().hex().encode() * content.count("|hex|hex")
    signature = hmac.new(b"secret", signed, "sha256").hexdigest()
    delivery = Delivery("POST", {"x-sign": signature}, body + b"\n")
    found = examine(provider, delivery, ["secret"], 0.0).verification
    assert found is not None
    assert diagnose(provider, delivery, ["secret"], 0.0, found.reason or "") == ("rejected_signature", reason)


def test_work_that_is_inflated_is_gained_once() -> None:
    """Inflating again and again makes no request worth more."""
    work = WorkBudget(0)
    work.inflated(1_000_000)
    left = work._left
    work.inflated(1_000_000)
    assert work._left == left


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        *("{body}", "{ts}.{body}", "{let:a}", "{sorted:body,ts}", "header:X", "signature:t", "json:a[]", "query:c"),
        *("{body|hex}", "{x", "hex", "hmac", "jwt", "asymmetric", "sha256", "pairs", "GET", "POST", "s", "text/plain"),
    ]
)
LEAVES = WORDS | JSON
NAMES = [
    *("kind", "algorithm", "content", "covers_body", "items", "key", "key_encoding", "key_prefix", "signature", "in"),
    *("encoding", "format", "prefix", "separator", "name", "assign", "claims", "let", "fetch", "unit", "id", "type"),
    *("tolerance_seconds", "future_seconds", "about", "method", "when", "unless", "only", "equal", "refused", "signed"),
    *("pattern", "shape", "stores", "status", "content_type", "headers", "body", "json", "template", "class", "length"),
    *("detached", "leeway_seconds", "requires", "hosts", "url", "query:c", "header:X", "a"),
]
TABLES = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=12,
)
OPTIONS = ["scheme", "timestamp", "delivery", "event", "handshake", "answer", "event_types", "filter", "ip_allow"]
OPTIONS += ["response", "rate_limit", "url", "keep_raw_body", "variant", "live"]


def _changed(scheme: JsonObject, changes: JsonObject) -> JsonObject:
    return {**scheme, **changes}


SCHEMES = TABLES | st.builds(_changed, st.just(SCHEME), st.dictionaries(st.sampled_from(NAMES), TABLES, max_size=3))
HANDSHAKES = TABLES | st.lists(
    TABLES | st.builds(_changed, st.just(ASKED), st.dictionaries(st.sampled_from(NAMES), TABLES, max_size=3)),
    max_size=2,
)
CONFIGS = st.dictionaries(st.sampled_from(OPTIONS), TABLES, max_size=4) | st.fixed_dictionaries(
    {"scheme": SCHEMES}, optional={"handshake": HANDSHAKES, **dict.fromkeys(OPTIONS[1:4], TABLES), "answer": TABLES}
)


@settings(max_examples=250, deadline=None)
@given(CONFIGS)
def test_any_configuration_has_problems_or_can_be_used(config: JsonObject) -> None:
    """Nothing but problems comes of any JSON; what has none answers and verifies whatever comes."""
    for provider_id in ("custom", "generic_hmac", "github"):
        found = config_problems(provider_data(provider_id) or {}, config)
        assert all(problem.pointer.startswith("/") or provider_id != "custom" for problem in found)
        if not found and provider_id == "custom":
            provider = fit(CUSTOM, {name: config[name] for name in config if name not in OPTIONS[6:]})
            for method in ("GET", "POST", "HEAD"):
                headers = {"x": "t=1,v1=00", "content-type": "application/x-www-form-urlencoded"}
                examine(provider, Delivery(method, headers, b'{"a": [1]}', {"c": "c"}), ["secret"], 1.0)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("push", "push", True),
        ("push", "pushed", False),
        ("pull_request.*", "pull_request.opened", True),
        ("*", "", True),
        ("*.*", "a", False),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("*[x]?*", "a[x]?b", True),
        ("*[x]?*", "ax?b", False),
        ("a**b", "ab", True),
    ],
)
def test_event_types_are_compared_as_they_stand(pattern: str, text: str, fits: bool) -> None:
    """A star is anything; all else is itself."""
    assert takes_event({"event_types": [pattern]}, text) is fits


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_event_types_are_compared_as_by_fnmatch(pattern: str, text: str) -> None:
    """As the standard library does, without its regular expression."""

    assert takes_event({"event_types": [pattern or "*"]}, text) is fnmatchcase(text, pattern or "*")


def test_many_stars_cost_one_walk() -> None:
    """However many there are, and however nearly the text fits."""
    assert not takes_event({"event_types": ["*a" * 99 + "*b*"] * 100}, "a" * 200)


def test_scheme_of_the_greatest_length_stays_usable_once_it_is_live() -> None:
    """What the service writes into a configuration does not count against its owner."""
    config: JsonObject = {"scheme": SCHEME, "filter": ""}
    config["filter"] = " " * (MAX_CHARACTERS - len(json.dumps(config)))
    assert fit(CUSTOM, {**config, "live": True}).id == "custom"
    with pytest.raises(ValueError, match="8000 characters"):
        fit(CUSTOM, {**config, "filter": config["filter"] + " "})
