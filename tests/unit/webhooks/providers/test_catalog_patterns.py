"""The regular expressions of provider files: each compiles, and none goes back over what it has read.

They are held against challenges and URLs that nobody has signed, so their cost is judged by their form, not by a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from shared.webhooks.providers.catalog import provider_data, provider_ids
from shared.webhooks.signatures.fetch import compiled_pattern
from shared.webhooks.signatures.fetched_keys import keys_in_document

REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
ALLOWED = {sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY, sre.SUBPATTERN, sre.BRANCH, sre.CATEGORY, sre.AT, *REPEATS}
# Longer texts are refused before a pattern is tried: see `fetch.MAX_URL_CHARACTERS`.
MAX_UNBOUNDED = 2


def patterns(data: Any) -> Iterator[str]:
    """Every regular expression in a provider's data, of its variants too."""
    yield data.get("secret", {}).get("pattern", "")
    fetch = data.get("scheme", {}).get("fetch", {})
    yield from (fetch.get("host_pattern", ""), fetch.get("path_pattern", ""))
    for handshake in data.get("handshake", ()):
        yield handshake.get("fetch_host_pattern", "")
        yield from handshake.get("pattern", {}).values()
    for variant in data.get("variants", {}).values():
        yield from patterns(variant)


def repeats(parsed: Any, within: bool = False) -> Iterator[tuple[bool, bool]]:
    """Of each repetition of anything: whether it stands within another, and whether it has no end."""
    for operator, argument in parsed:
        assert operator in ALLOWED, f"{operator} may go back over what it has read"
        if operator in REPEATS:
            least, most, inner = argument
            varies = least != most
            if varies:
                yield within, most == sre.MAXREPEAT
            yield from repeats(inner, within or varies)
        elif operator is sre.SUBPATTERN:
            yield from repeats(argument[-1], within)
        elif operator is sre.BRANCH:
            for branch in argument[1]:
                yield from repeats(branch, within)


def check(pattern: str) -> None:
    """Passes where the pattern compiles and takes linear time, or at worst quadratic in a text that is bounded."""
    re.compile(pattern)
    found = list(repeats(_parser.parse(pattern)))
    assert not any(within for within, _ in found), "a repetition stands within another"
    assert sum(is_endless for _, is_endless in found) <= MAX_UNBOUNDED


ALL = sorted({(name, pattern) for name in provider_ids() for pattern in patterns(provider_data(name) or {}) if pattern})


@pytest.mark.parametrize(("provider", "pattern"), ALL)
def test_a_files_pattern_compiles_and_is_linear(provider: str, pattern: str) -> None:
    """Whoever adds a provider learns here what may be written."""
    check(pattern)


def test_there_are_patterns_to_check() -> None:
    """Of secrets, of hosts and paths, and of challenges."""
    assert len(ALL) >= 20
    assert {"aws_sns", "braintree", "zoom", "stripe"} <= {name for name, _ in ALL}


@pytest.mark.parametrize(
    "pattern", ["(a+)+", "(a|b*)*c", "(?:x{1,9}y?){2,}", r"(a)\1", "a*b*c*d", "(?=a)b", "(?<!a)b+"]
)
def test_a_pattern_that_could_go_back_is_refused(pattern: str) -> None:
    """The check is one that can fail."""
    with pytest.raises(AssertionError):
        check(pattern)


@pytest.mark.parametrize("text", ["(", "a{99999999999}", "(?P<1>a)"])
def test_a_pattern_that_is_none_is_said_to_be_none(text: str) -> None:
    """As everything else that is outside the grammar."""
    with pytest.raises(ValueError, match=r"scheme\.fetch\.host_pattern is no regular expression"):
        compiled_pattern("scheme.fetch.host_pattern", text)


@pytest.mark.parametrize("format_", ["jwks", "json:key", "pem", "x509"])
@pytest.mark.parametrize("document", [b"[" * 100_000, b"\xff", b"{", b"7"])
def test_what_is_no_document_of_keys_has_none(format_: str, document: bytes) -> None:
    """A host may be of a tenant's own configuration, and say anything."""
    assert keys_in_document(document, format_, None, 0.0)[0] == []
