"""Text of answers, in the charset that a server names, or makes up."""

from __future__ import annotations

import encodings
import time

import httpx
import pytest

from shared.nodes.charsets import CHARSETS, charset_of
from shared.nodes.http_response import completed, received


class Wanted:
    """What a node wants of an answer."""

    response, success, max_response_bytes = "auto", [200], 1_048_576


async def text(content_type: str, body: bytes) -> str:
    """What a node yields of a text with this content type."""
    response = httpx.Response(200, headers={"content-type": content_type}, stream=httpx.ByteStream(body))
    output = completed(Wanted(), await received(Wanted(), response, 0.0)).output
    assert isinstance(output["body"], str)
    return output["body"]


@pytest.mark.parametrize("name", sorted(CHARSETS))
def test_charset_is_one_that_python_decodes(name: str) -> None:
    """Whatever the bytes."""
    assert isinstance(bytes(range(256)).decode(name, errors="replace"), str)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("text/plain; charset=windows-1252", b"\x80", "€"),
        ('text/plain; charset="Shift_JIS"', b"\x82\xa0", "あ"),
        ("text/plain; charset=UTF-16LE", b"a\x00", "a"),
        ("text/plain", "é".encode(), "é"),
        *((f"text/plain; charset={name}", "é".encode(), "é") for name in ("base64", "rot13", "idna", "undefined", "x")),
    ],
)
async def test_text_is_read_in_its_charset(content_type: str, body: bytes, expected: str) -> None:
    """One that is not known, or that is no charset, is UTF-8: it was an error of the engine's own."""
    assert await text(content_type, body) == expected


async def test_decoding_is_linear() -> None:
    """It is done on the loop that all runs share: a megabyte of punycode takes minutes."""
    started = time.process_time()
    await text("text/plain; charset=punycode", b"a-" + b"b9" * 500_000)
    assert time.process_time() - started < 5


async def test_names_that_servers_make_up_are_not_kept() -> None:
    """Python would remember each of them, for as long as the process lives."""
    name = "made-up-by-a-server"
    assert charset_of(f"text/plain; charset={name}") == "utf-8"
    assert await text(f"text/plain; charset={name}", b"x") == "x"
    assert not any("made" in each for each in vars(encodings)["_cache"])
