"""Parses the form fields of a body: `application/x-www-form-urlencoded` and `multipart/form-data`, bounded."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(rb'name="([^"]{0,200})"', re.IGNORECASE)


def form_fields(content_type: str, body: bytes, limit: int) -> tuple[tuple[str, str], ...] | None:
    """The fields in order; `None` for another content type, a malformed form, or one of more than `limit` fields."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        boundary = _BOUNDARY.search(content_type)
        return None if boundary is None else _multipart(boundary.group(1).encode(), body, limit)
    if kind not in ("", "application/x-www-form-urlencoded"):
        return None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body) and kind == "",
            errors="surrogateescape",
            max_num_fields=limit,
        )
    except ValueError:
        return None
    return tuple(pairs)


def _multipart(boundary: bytes, body: bytes, limit: int) -> tuple[tuple[str, str], ...] | None:
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(parts) > limit + 2:
        return None
    fields = []
    for part in parts[1:-1]:
        head, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not separator or name is None:
            return None
        fields.append((_text(name.group(1)), _text(content)))
    return tuple(fields)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
