"""Identifiers: time-ordered UUIDv7 for new things, name-based UUIDv5 where the same input must give the same id."""

from __future__ import annotations

import os
import time
import uuid
from hashlib import sha1

# The namespace of all derived ids; another one would break the link between old deliveries and their runs.
NAMESPACE = uuid.UUID("6f1d0f5e-6b0c-5c55-9a65-6c1f5f6a2b11")


def new_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits, so that keys insert in order."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*parts: str) -> str:
    """The UUIDv5 of the parts. Each part's length is in the name, so that different parts never share an id."""
    name = "\x1f".join(f"{len(part)}:{part}" for part in parts)
    # As uuid.uuid5, which fails on half surrogate pairs: a sender's ids may have them.
    digest = sha1(NAMESPACE.bytes + name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its canonical, lower-case form."""
    try:
        return str(uuid.UUID(text)) == text
    except (ValueError, AttributeError, TypeError):
        return False
