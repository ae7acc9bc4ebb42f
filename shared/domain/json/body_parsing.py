"""A request's or response's body by its content type: JSON, the fields of a form, or text."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl

from shared.domain.json.values import parse_json, storable
from shared.errors import InvalidRequestError
from shared.json_types import JsonObject

_FORM = "application/x-www-form-urlencoded"


def is_json(content_type: str) -> bool:
    """Whether a Content-Type header names JSON (RFC 6839 gives other formats the suffix `+json`)."""
    kind = _kind(content_type)
    return kind == "application/json" or kind.endswith("+json")


def parse_body(raw: bytes, content_type: str) -> object:
    """The body as JSON: `None` for an empty one, the text of malformed JSON, base64 of bytes that are not UTF-8."""
    if not raw:
        return None
    if is_json(content_type):
        try:
            return read_json(raw)
        except InvalidRequestError:
            return _text(raw)
    if _kind(content_type) == _FORM:
        try:
            return _form(raw)
        except ValueError:
            return _text(raw)  # too many fields
    return _text(raw)


def read_json(raw: bytes | str) -> object:
    """The value in untrusted JSON. NUL and half surrogate pairs, which cannot be stored, become U+FFFD.

    Any other malformed JSON raises `InvalidRequestError`.
    """
    try:
        return parse_json(raw)
    except InvalidRequestError:
        # Read again without that one rule; JSON that is malformed is refused again.
        return storable(parse_json(raw, refuse_unstorable=False))


def _form(raw: bytes) -> JsonObject:
    fields: JsonObject = {}
    for name, value in parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10_000):
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode()


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
