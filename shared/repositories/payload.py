"""Encodes payloads for the store: tenants' values as JSON text, and large payloads once, by content.

jsonb sorts the keys of objects, writes 1e22 with all its digits and refuses U+0000 and lone surrogates. A run must be
derived again from its recorded facts exactly, so its values are stored as the JSON text that was recorded:
`{"node_id": "a", "output$json": "{\"b\":1,\"a\":2.0}"}` (docs/adr/0011-values-as-text.md). Older payloads have their
values as jsonb, or as `{"$base64": <its JSON text>}` where jsonb refuses a text. None of these forms can be confused
with a fact's payload, whose keys are our own field names.
"""

from __future__ import annotations

import hashlib
import json
import re

from shared.domain.json.values import decoded
from shared.json_types import JsonObject

# Above this many bytes of JSON a payload is stored once per tenant and content, and referenced.
INLINE_LIMIT_BYTES = 16_384

# About the memory that CPython needs for a list or an object within another one, and for any other value.
_LIST_BYTES, _VALUE_BYTES = 72, 24

# The fields of a run's facts with tenants' values; all others are our own.
VALUES = frozenset({"trigger", "output", "parameters", "payload", "error"})
# The suffix of a field that is stored as text.
_TEXT = "$json"

# The one field of a payload whose content is gone from the store, with the hash that it had.
MISSING = "$missing"

# Postgres cannot store the first, UTF-8 cannot encode the others.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
_encode_in_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# `raw_decode` skips the check for white space, of which our encoding has none: a long run's fold decodes thousands.
_decode = json.JSONDecoder().raw_decode
_encode_sorted = json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=True).encode


def store(payload: JsonObject, *, of_run: bool) -> tuple[JsonObject, JsonObject | None, int]:
    """The payload for the event, the row of `payloads` (without its tenant) for a large one, and the estimated size in
    memory, in bytes.

    `of_run`: it is the payload of a fact about a run. A number that JSON cannot express raises `ValueError`.
    """
    stored = _in_text(payload) if of_run else payload
    size = size_bytes(stored)
    if size <= INLINE_LIMIT_BYTES:
        return stored, None, size
    sha256 = _text_hash(stored) if of_run else _native_hash(stored)
    reference = {"$payload": sha256, "size_bytes": size}
    return reference, {"sha256": sha256, "body": stored, "size_bytes": size}, counted_bytes(stored)


def is_content(payload: JsonObject, sha256: str) -> bool:
    """Whether a loaded payload of a run's fact is the one that was stored under this hash."""
    return sha256 in (_text_hash(_in_text(payload)), _native_hash(payload))


def size_bytes(stored: JsonObject) -> int:
    """About the size of a stored payload, in bytes. The values of a run's facts are texts, which are measured directly;
    only older payloads must be encoded for it."""
    size, has_values = 0, False
    for name, value in stored.items():
        if type(value) is str:
            size += len(value) if value.isascii() else len(value.encode())
            has_values = has_values or name.endswith(_TEXT)
    return size if has_values else len(_encode_in_ascii(stored))


def counted_bytes(stored: JsonObject) -> int:
    """The estimated size of a payload in memory, in bytes: its size in the store or, if more, that of its values."""
    values = (value for name, value in stored.items() if name.endswith(_TEXT) and len(value) > INLINE_LIMIT_BYTES)
    return max(size_bytes(stored), sum(map(counted_text, values)))


def counted_text(text: str) -> int:
    """The estimated size of the value in a JSON text: the text's length or, if more, a quarter of the memory that it
    takes, which for a list of empty lists is thirty times its text."""
    lists, values = text.count("[") + text.count("{"), text.count(",")
    return max(len(text), (len(text) + _LIST_BYTES * lists + _VALUE_BYTES * values) // 4)


def load(stored: JsonObject) -> JsonObject:
    """The payload that was given to `store`; the database has resolved references already."""
    if "$base64" in stored:
        from base64 import b64decode  # older payloads only

        loaded: JsonObject = json.loads(b64decode(stored["$base64"]))
        return loaded
    payload: JsonObject = {}
    for name, value in stored.items():
        if name.endswith(_TEXT):
            payload[name.removesuffix(_TEXT)] = decoded(value, _decode)[0]
        else:
            payload[name] = value
    return payload if payload.keys() != stored.keys() else stored


def _in_text(payload: JsonObject) -> JsonObject:
    """The payload with its values as JSON text, and any other text that Postgres cannot store."""
    stored: JsonObject = {}
    for name, value in payload.items():
        if name in VALUES and value is not None:
            text = _encode(value)
            # JSON always escapes NUL; lone surrogates are escaped in ASCII only.
            stored[name + _TEXT] = text if text.isascii() or not _UNSTORABLE.search(text) else _encode_in_ascii(value)
        elif type(value) is str and _UNSTORABLE.search(value):
            stored[name + _TEXT] = _encode_in_ascii(value)
        else:
            stored[name] = value
    return stored


def _text_hash(stored: JsonObject) -> str:
    return _sha256(_encode_sorted(stored))


def _native_hash(payload: JsonObject) -> str:
    """The hash of a payload with values as jsonb: of the JSON with sorted keys and its numbers as doubles, since jsonb
    orders keys in its own way and writes 1e+16 with all its digits."""
    # Adding zero removes the sign of -0.0, which jsonb does not keep.
    value = json.loads(json.dumps(payload), parse_int=float, parse_float=lambda digits: float(digits) + 0.0)
    return _sha256(_encode_sorted(value))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
