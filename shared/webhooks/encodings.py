"""How digests and keys are written: strictly one form each, because a lenient decoder lets two texts pass for one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

Decoder = Callable[[str], bytes | None]


def _hex(text: str) -> bytes | None:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        return None


def _base64(text: str) -> bytes | None:
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return decoded if base64.b64encode(decoded).decode() == text else None


def _base64url(text: str) -> bytes | None:
    """With or without its padding: senders differ, and both are the same digits."""
    bare = text.rstrip("=")
    try:
        decoded = base64.b64decode(bare.replace("-", "+").replace("_", "/") + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None
    whole = base64.urlsafe_b64encode(decoded).decode()
    return decoded if text in (whole, whole.rstrip("=")) else None


DECODERS: dict[str, Decoder] = {"hex": _hex, "base64": _base64, "base64url": _base64url}
ENCODERS: dict[str, Callable[[bytes], str]] = {
    "hex": lambda digest: digest.hex(),
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("="),
}


def key_bytes(secret: str, encoding: str, prefix: str) -> bytes | None:
    """The key in a secret's text (`encoding` utf8, or one of the digests'); `None` for one that could open anything:
    empty, blank, only NULs, not in its encoding, or nothing once decoded."""
    if not secret.strip(" \t\r\n\v\f\x00"):
        return None
    text = secret.removeprefix(prefix)
    key = text.encode("utf-8", "surrogatepass") if encoding == "utf8" else DECODERS[encoding](text)
    return key if key and key.strip(b" \t\r\n\v\f\x00") else None
