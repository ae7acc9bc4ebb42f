"""How digests and keys are written: strictly one form each, because a lenient decoder lets two texts pass for one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

Decoder = Callable[[str], bytes | None]

BLANK = " \t\r\n\v\f\x00"


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


def is_blank(text: str) -> bool:
    """Whether there is nothing in the text: it is empty, blank or only NULs."""
    return not text.strip(BLANK)


def decode_key(text: str, encoding: str) -> bytes | None:
    """The key in a text (`encoding` utf8, or one of the digests'); `None` for one that could open anything: blank, not
    in its encoding, nothing once decoded, or only NULs."""
    if is_blank(text):
        return None
    key = text.encode("utf-8", "surrogatepass") if encoding == "utf8" else DECODERS[encoding](text)
    return key if key and key.strip(BLANK.encode()) else None
