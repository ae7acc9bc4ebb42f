"""How digests, keys and texts are written: strictly one form each, as a lenient decoder lets two texts pass for one."""

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
    # The last digit may have bits that belong to no byte: only one of the texts that decode to these bytes is taken.
    return decoded if base64.b64encode(decoded).decode() == text else None


def _base64url(text: str) -> bytes | None:
    """With or without its padding: senders differ, and both have the same digits."""
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


def as_bytes(value: bytes | str) -> bytes:
    """The value's bytes; never an exception, not even for a lone surrogate, which only a forged header has."""
    if isinstance(value, bytes):
        return value
    try:
        return value.encode()
    except UnicodeEncodeError:
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")


def as_text(value: bytes | str) -> str:
    """The value's text; bytes that are no UTF-8 become lone surrogates, which `as_bytes` turns back."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
