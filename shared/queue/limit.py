"""A limit on how many deliveries come in."""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """A bucket of tokens by name: `per_second` of them come in, `burst` fit."""

    name: str
    per_second: float
    burst: int
