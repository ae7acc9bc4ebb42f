"""Secrets are taken out of what a server sends in every form in which it may repeat them."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from shared.domain.expressions import redaction
from shared.domain.expressions.redaction import UnsearchableError, redacted

SECRET = 'Pa"s/w<rd>&Ünd +mOre\\words'
HIDDEN = {"[secret:key]": SECRET}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _lower_percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": json.dumps,
    "json with solidus": lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/"),
    "json escapes": lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    "javascript": lambda text: "".join(
        f"\\x{ord(character):02x}" if ord(character) < 256 else character for character in text
    ),
    "html": html.escape,
    "html numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "html hexadecimal": lambda text: "".join(f"&#X{ord(character):x};" for character in text),
    "html names": lambda text: html.escape(text).replace("/", "&sol;").replace("+", "&plus;").replace("Ü", "&Uuml;"),
    "percent": lambda text: quote(text, safe=""),
    "percent, lower case": lambda text: quote(text, safe="").lower(),
    "percent, everything": _lower_percent,
    "form": quote_plus,
    "base64": _base64,
    "base64, one before": lambda text: _base64("x" + text),
    "base64, two before": lambda text: _base64("xy" + text + "z"),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 in lines": lambda text: "\r\n".join(textwrap.wrap(_base64("x" * 50 + text), 64)),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, upper case": lambda text: text.encode().hex().upper(),
    "lower case": str.lower,
    "upper case": str.upper,
}


@pytest.mark.parametrize("form", FORMS)
def test_secret_is_redacted_in_each_form(form: str) -> None:
    """The placeholder stands in its place, and the text around it stays."""
    said = f"before {FORMS[form](SECRET)} after"
    left = redacted({"deep": [said]}, HIDDEN)["deep"][0]
    assert "[secret:key]" in left, said
    assert left.startswith("before ")
    assert left.endswith(" after")


@pytest.mark.parametrize("outer", ["json", "html", "percent", "percent, everything", "json escapes", "base64"])
@pytest.mark.parametrize("inner", ["json", "json escapes", "html numbers", "percent", "base64", "hexadecimal"])
def test_secret_is_redacted_in_one_form_within_another(inner: str, outer: str) -> None:
    """Also twice in the same form; only escapes within base64 are not decoded."""
    if outer != "base64" or inner in ("base64", "hexadecimal"):
        assert "[secret:key]" in redacted(FORMS[outer](FORMS[inner](SECRET)), HIDDEN)


@pytest.mark.parametrize("form", ["plain", "json", "percent", "html", "base64", "hexadecimal", "upper case"])
def test_beginning_of_a_secret_is_redacted(form: str) -> None:
    """A server that cuts what it repeats shows nothing of a secret from 12 characters on."""
    for length in (12, 13, len(SECRET) - 1):
        said = FORMS[form](SECRET[:length])
        assert "[secret:key]" in redacted(f"{said} …", HIDDEN), said
        assert SECRET[:length] not in redacted(f"{said} …", HIDDEN)


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("https://hooks.example.com/services/T1/B2/abcdefghij", "https://hooks.example.com/docs"),
        ("-----BEGIN PRIVATE KEY-----\nMIIabcdefghijklmnop", "-----BEGIN PRIVATE KEY-----\nanother"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdef", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.ghijkl"),
        ("shop_key_1", "shop_key_2"),
    ],
)
def test_text_that_only_begins_as_many_do_stays(secret: str, said: str) -> None:
    """The part that all URLs of a host, PEM files and tokens share does not count as a secret's beginning."""
    assert redacted(said, {"[]": secret}) == said


def test_secret_with_escapes_of_its_own_is_redacted_within_others() -> None:
    """Where a layer of escapes is taken off, the secret's own come off with it."""
    secret = 'a&amp;b"c%41d'
    for form in ("json", "html", "percent"):
        assert "[]" in redacted(FORMS[form](secret), {"[]": secret})


def test_number_that_continues_a_secret_is_redacted() -> None:
    """A long number with the secret's digits in it, or with the first 12 of them."""
    hidden = {"[]": "4111111111111111"}
    assert redacted([41111111111111112, 411111111111, 41111111111, 7], hidden) == ["[]2", "[]", 41111111111, 7]


def test_texts_are_searched_apart() -> None:
    """A secret in two halves is in neither text; texts with unusual characters keep their places."""
    said = ["sec\ue000", "ret-value\ue001", "secret-value\ue000", {"secret-value": "\ue000"}]
    left = ["sec\ue000", "ret-value\ue001", "[]\ue000", {"[]": "\ue000"}]
    assert redacted(said, {"[]": "secret-value"}) == left


def test_searching_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take too long is refused, rather than searched or let through."""
    said = "%41a" * 200
    assert redacted(said, {"[]": "secret-value"}) == said
    monkeypatch.setattr(redaction, "MAX_ESCAPES", 100)
    with pytest.raises(UnsearchableError):
        redacted(said, {"[]": "secret-value"})
    monkeypatch.setattr(redaction, "MAX_WORK", 100)
    with pytest.raises(UnsearchableError):
        redacted("a" * 101, {"[]": "secret-value"})
