"""What a run sees of a delivery."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.webhook.delivery import body_value


@pytest.mark.parametrize(
    ("raw", "content_type", "expected"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b"e30.eyJhIjoxfQ.c2ln\n", "application/jwt", {"a": 1}),
        (b"e30.eyJhIjoxfQ.c2ln", "text/plain", "e30.eyJhIjoxfQ.c2ln"),
        (b"no token", "application/jwt", "no token"),
        (b"e30.\xff.c2ln", "application/jwt", "ZTMwLv8uYzJsbg=="),
        (b"", "application/jwt", None),
    ],
)
def test_a_token_is_what_it_says(raw: bytes, content_type: str, expected: Any) -> None:
    """Its claims; what is no token stays as it is."""
    assert body_value(raw, content_type) == expected
