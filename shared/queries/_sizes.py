"""Answers that fit: a Lambda function's response may have 6 MB, and one event alone may have four of them."""

from __future__ import annotations

import json
from typing import Any

MAX_ANSWER_BYTES = 4_500_000


def size_bytes(value: Any) -> int:
    """How many bytes the value takes in an answer."""
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def fitting(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the first items as fit into one answer; at least one."""
    total = 0
    for count, item in enumerate(items):
        total += size_bytes(item)
        if total > MAX_ANSWER_BYTES and count:
            return items[:count]
    return items
