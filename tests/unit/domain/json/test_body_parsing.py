"""Bodies by their content type; nothing that a provider sends is an error."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.json.body_parsing import parse_body

JSON, FORM = "application/json; charset=utf-8", "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("raw", "content_type", "expected"),
    [
        (b'{"a":1}', JSON, {"a": 1}),
        (b"[1]", "application/cloudevents+json", [1]),
        (b'{"a":', JSON, '{"a":'),
        (b'{"a":NaN}', JSON, '{"a":NaN}'),
        (b"[" * 5_000, JSON, "[" * 5_000),
        (b'"\\ud800 \\u0000"', JSON, "\ufffd \ufffd"),
        (b"a=1&b=x+y&a=2&c=", FORM, {"a": ["1", "2"], "b": "x y", "c": ""}),
        (b"hello", "text/plain", "hello"),
        (b"\xff\x00", "application/octet-stream", "/wA="),
        (b"", JSON, None),
    ],
)
def test_body_by_content_type(raw: bytes, content_type: str, expected: Any) -> None:
    """JSON, forms, text and bytes; malformed JSON keeps its text."""
    assert parse_body(raw, content_type) == expected
