"""An API key's text, `wk_<id, 32 hex digits>_<random part>`: the id finds the row, the rest authenticates."""

from __future__ import annotations

import hashlib
import re

PREFIX = "wk_"
_KEY = re.compile(
    r"wk_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII
)


def key_text(key_id: str, secret: str) -> str:
    """The key of an id and a random part (256 bits in base64url: 43 characters)."""
    return f"{PREFIX}{key_id.replace('-', '')}_{secret}"


def key_parts(text: str) -> tuple[str, str] | None:
    """The id and the random part of a key; `None` for a malformed one."""
    match = _KEY.fullmatch(text)
    return ("-".join(match.groups()[:5]), match[6]) if match else None


def hash_of(secret: str) -> str:
    """The stored form of a key's random part: SHA-256. It has 256 bits, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
