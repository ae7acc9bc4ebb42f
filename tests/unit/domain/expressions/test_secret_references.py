"""Secrets in parameters: placeholders until an effect is performed, and taken out of what comes back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from shared.domain.expressions.redaction import redacted
from shared.domain.expressions.secret_references import masked, references, revealed, secret_named

PARAMETERS = {
    "url": "https://example.com/{% $secrets.path %}",
    "headers": {"x-key": "{% $secrets.key %}", "x-two": "{% $secrets.key %}:{% $secrets.path %}", "x-run": "{% $x %}"},
    "body": {"deep": {"er": " {% $secrets . key %} "}, "n": 1},
}


def test_masked_parameters_have_placeholders() -> None:
    """A text that is one secret is its placeholder, without the space around it."""
    assert masked(PARAMETERS) == {
        "url": "https://example.com/[secret:path]",
        "headers": {"x-key": "[secret:key]", "x-two": "[secret:key]:[secret:path]", "x-run": "{% $x %}"},
        "body": {"deep": {"er": "[secret:key]"}, "n": 1},
    }


def test_secrets_are_put_in_where_the_graph_has_them() -> None:
    """Each in its place, and a secret that looks like a placeholder stays as it is."""
    places, secrets = tuple(references(PARAMETERS)), {"key": "[secret:path]", "path": "p/q"}
    found = revealed(masked(PARAMETERS), places, secrets)
    assert found["url"] == "https://example.com/p/q"
    assert found["headers"]["x-two"] == "[secret:path]:p/q"
    assert found["body"] == {"deep": {"er": "[secret:path]"}, "n": 1}


def test_placeholder_from_outside_gets_nothing() -> None:
    """A delivery that holds a placeholder is sent on as it is, wherever the graph has no secret."""
    places = tuple(references(PARAMETERS))
    resolved = {**masked(PARAMETERS), "body": "[secret:key]"}
    resolved["headers"] = {**masked(PARAMETERS)["headers"], "x-run": "[secret:key]"}
    found = revealed(resolved, places, {"key": "k3y-value", "path": "p"})
    assert (found["body"], found["headers"]["x-run"]) == ("[secret:key]", "[secret:key]")


@pytest.mark.parametrize(
    "source", ["$secrets", "$secrets.a.b", "$secrets.a & 'x'", "$secrets.`a`", "$uppercase($secrets.a)", "$secrets.1a"]
)
def test_expression_that_does_more_is_no_secret(source: str) -> None:
    """Only the secret as it is."""
    assert secret_named(source) is None


def test_secrets_come_out_as_placeholders() -> None:
    """In any text at any depth, in keys, and as URLs and Basic credentials have them."""
    secrets = {"[secret:key]": "a b/c+d", "[secret:long]": "a b/c+d-and-more"}
    said = {"a b/c+d": ["x=a%20b%2Fc%2Bd", "a+b%2Fc%2Bd", 7, None]}
    assert redacted(said, secrets) == {"[secret:key]": ["x=[secret:key]", "[secret:key]", 7, None]}
    assert redacted("a b/c+d-and-more", secrets) == "[secret:long]"
    assert redacted(said, {}) is said


@pytest.mark.parametrize("before", ["", "x", "xy", "user:", "a longer text: "])
@pytest.mark.parametrize("after", ["", ".", "..", " and so on"])
def test_secrets_come_out_of_base64(before: str, after: str) -> None:
    """Wherever they stand in what was encoded, as in Basic credentials."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(f"{before}s3cret?>~value{after}".encode()).decode()
        assert "[secret:key]" in redacted(f"Basic {encoded}", {"[secret:key]": "s3cret?>~value"})


@pytest.mark.parametrize(
    ("secret", "said", "left"),
    [
        ("48151623", [48151623, 48151623.0, "pin 48151623", 4815162], ["[]", "[]", "pin []", 4815162]),
        ("0042", [42, "0042", 420], ["[]", "[]", 420]),
        ("4111111111111111", {"card": 4111111111111111}, {"card": "[]"}),
        ("12345678901234567890123", [12345678901234567890123, 1.2345678901234568e22], ["[]", "[]"]),
        ("3.25", [3.25, True, None], ["[]", True, None]),
        ("1", [1, True, 10, 1.5], ["[]", True, 10, 1.5]),
        ("1e5", [100_000], [100_000]),
    ],
)
def test_secret_of_digits_is_redacted_where_it_is_a_number(secret: str, said: Any, left: Any) -> None:
    """A server that reads digits as a number says the secret all the same."""
    assert json.dumps(redacted(said, {"[]": secret})) == json.dumps(left)
