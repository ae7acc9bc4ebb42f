"""JSON as JavaScript writes it, for the senders that sign a body which they have parsed: RFC 8785 where sorted."""

from __future__ import annotations

import json
from typing import Any


def canonical(value: Any, *, sort: bool, ascii_only: bool = False) -> str:
    """The value as `JSON.stringify` writes it; with `sort`, names in the order of their UTF-16 code units."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass")) if sort else value
        members = (
            f"{string(name, ascii_only)}:{canonical(value[name], sort=sort, ascii_only=ascii_only)}" for name in names
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item, sort=sort, ascii_only=ascii_only) for item in value) + "]"
    if isinstance(value, str):
        return string(value, ascii_only)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    return number(value)


def string(text: str, ascii_only: bool = False) -> str:
    """A JSON string: short escapes, and other characters as they are unless `ascii_only`."""
    return json.dumps(text, ensure_ascii=ascii_only)


def number(value: float) -> str:
    """A number as ECMAScript writes it; integers that JSON wrote as such keep their digits."""
    if isinstance(value, int):
        return str(value)
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    size = int(exponent)
    if -7 < size < 0:  # Python changes to exponents at 1e-05, ECMAScript at 1e-7
        return f"{value:.{len(mantissa.replace('.', '').lstrip('-')) - 1 - size}f}"
    return f"{mantissa.removesuffix('.0')}e{size:+d}"
