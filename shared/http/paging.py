"""Responses of lists: `{items, next_cursor}`."""

from __future__ import annotations

from shared.http.cursor import encode_keyset, encode_position
from shared.http.responses import Response
from shared.json_types import JsonObject
from shared.queries.page import Page
from shared.repositories.rows import Keyset


def paged(page: Page[Keyset] | Page[int]) -> Response:
    """A 200 with the page's items and an opaque cursor for the next page (`null` on the last)."""
    cursor = encode_keyset(page.next) if isinstance(page.next, Keyset) else encode_position(page.next)
    body: JsonObject = {"items": page.items, "next_cursor": cursor}
    return Response(200, body)
