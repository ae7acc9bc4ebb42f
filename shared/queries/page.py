"""One page of a list, and where the next one begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.json_types import JsonMapping
from shared.repositories.rows import Keyset

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Page(Generic[P]):
    """A page of items; `next` is the keyset or position of its last one, unset when there are no more."""

    items: Sequence[JsonMapping]
    next: P | None


def keyset_page(rows: Sequence[JsonMapping], limit: int, column: str = "created_at") -> Page[Keyset]:
    """The page of `limit` rows, from `limit + 1` rows that were read to learn whether more follow."""
    items = rows[:limit]
    return Page(items, Keyset(items[-1][column], items[-1]["id"]) if len(rows) > limit else None)
