"""Answers that fit: a Lambda function's response may have 6 MB, and one event alone may have four of them."""

from __future__ import annotations

from typing import Any

from shared.domain.json_values import size_bytes

MAX_ANSWER_BYTES = 4_500_000


def fitting(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the first items as fit into one answer; at least one."""
    total = 0
    for count, item in enumerate(items):
        total += size_bytes(item)
        if total > MAX_ANSWER_BYTES and count:
            return items[:count]
    return items
