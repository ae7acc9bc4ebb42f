"""Opaque cursors of lists: where the previous page ended, so that added rows cause no gaps or repetitions."""

from __future__ import annotations

import base64
import binascii
import json

from shared.domain.timestamps import in_utc
from shared.errors import InvalidCursorError
from shared.ids import is_uuid
from shared.repositories.rows import Keyset


def encode_keyset(keyset: Keyset | None) -> str | None:
    """The cursor of a keyset; `None`, for the end of the list, stays `None`."""
    return None if keyset is None else _encode([keyset.created_at, keyset.id])


def decode_keyset(cursor: str | None) -> Keyset | None:
    """The keyset in a cursor; anything that `encode_keyset` did not make raises `InvalidCursorError`.

    Both parts go into a filter, so they are validated and normalised first.
    """
    if cursor is None:
        return None
    match _decode(cursor):
        case [str() as created_at, str() as id] if is_uuid(id):
            try:
                return Keyset(in_utc(created_at) or created_at, id)
            except (ValueError, OverflowError):
                pass
    raise InvalidCursorError


def encode_position(position: int | None) -> str | None:
    """The cursor of a position in a numbered list; `None` stays `None`."""
    return None if position is None else _encode(position)


def decode_position(cursor: str | None) -> int | None:
    """The position in a cursor, 0 to 2^63 - 1; anything else raises `InvalidCursorError`."""
    if cursor is None:
        return None
    position = _decode(cursor)
    if type(position) is not int or not 0 <= position < 2**63:
        raise InvalidCursorError
    return position


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str) -> object:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidCursorError from None
