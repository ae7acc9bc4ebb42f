"""How payloads are stored: tenants' values as JSON text, and large payloads once, by content.

jsonb sorts the keys of objects, writes 1e22 with all its digits and refuses U+0000 and lone surrogates. What an
expression sees follows from the recorded facts alone, so a run's values are kept as the text that they were recorded
as: `{"node_id": "a", "output$json": "{\"b\":1,\"a\":2.0}"}` (docs/adr/0011-values-as-text.md). Payloads recorded before
that hold their values as jsonb, and one with a text that jsonb refuses as `{"$base64": <its JSON text>}`. None of these
forms can be confused with a fact's payload, whose keys are our own field names.
"""

from __future__ import annotations

import hashlib
import json
import re

from shared.domain.json.values import decoded
from shared.json_types import JsonObject

# Above this many bytes of JSON a payload is stored once per tenant and content, and referenced.
INLINE_LIMIT_BYTES = 16_384

# What CPython takes for a list or an object with its place in another one, and for any other value, about.
_LIST_BYTES, _VALUE_BYTES = 72, 24

# The fields of a run's facts that hold tenants' values; all others are our own bookkeeping.
VALUES = frozenset({"trigger", "output", "parameters", "payload", "error"})
# At the end of the name of a field that is kept as text.
_TEXT = "$json"

# No text for Postgres, and nothing that UTF-8 can say.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode
_encode_in_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# As it was encoded, without white space around it: a fold of a long run decodes thousands.
_decode = json.JSONDecoder().raw_decode
_encode_sorted = json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=True).encode


def store(payload: JsonObject, *, of_run: bool) -> tuple[JsonObject, JsonObject | None, int]:
    """What goes into the event, the row of `payloads` (without its tenant) where the payload is a large one, and as how
    many bytes it counts.

    `of_run`: it is that of a fact about a run. A number that JSON cannot write raises `ValueError`.
    """
    stored = _in_text(payload) if of_run else payload
    size = size_bytes(stored)
    if size <= INLINE_LIMIT_BYTES:
        return stored, None, size
    sha256 = _text_hash(stored) if of_run else _native_hash(stored)
    reference = {"$payload": sha256, "size_bytes": size}
    return reference, {"sha256": sha256, "body": stored, "size_bytes": size}, counted_bytes(stored)


def is_content(payload: JsonObject, sha256: str) -> bool:
    """Whether the payload of a run's fact, as it was loaded, is the one that was stored under this hash."""
    return sha256 in (_text_hash(_in_text(payload)), _native_hash(payload))


def size_bytes(stored: JsonObject) -> int:
    """What a stored payload takes, nearly. A run's values are texts in it; only what was recorded before that has to be
    encoded to be measured."""
    size, has_values = 0, False
    for name, value in stored.items():
        if type(value) is str:
            size += len(value) if value.isascii() else len(value.encode())
            has_values = has_values or name.endswith(_TEXT)
    return size if has_values else len(_encode_in_ascii(stored))


def counted_bytes(stored: JsonObject) -> int:
    """As how many bytes a payload counts for whoever holds it: what it takes in the store or, where that is more, what
    its values count as."""
    values = (value for name, value in stored.items() if name.endswith(_TEXT) and len(value) > INLINE_LIMIT_BYTES)
    return max(size_bytes(stored), sum(map(counted_text, values)))


def counted_text(text: str) -> int:
    """As how many bytes the value in a JSON text counts: a quarter of what it takes in a process, which for a list of
    nothing but empty lists is thirty times its text, or else the text's length."""
    lists, values = text.count("[") + text.count("{"), text.count(",")
    return max(len(text), (len(text) + _LIST_BYTES * lists + _VALUE_BYTES * values) // 4)


def load(stored: JsonObject) -> JsonObject:
    """The payload as it was given to `store`; the database has already followed a reference."""
    if "$base64" in stored:
        from base64 import b64decode  # long ago

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
    """The payload with its values as text, and any other text that Postgres cannot hold."""
    stored: JsonObject = {}
    for name, value in payload.items():
        if name in VALUES and value is not None:
            text = _encode(value)
            # NUL is escaped in any JSON text; a lone surrogate is where it has to be ASCII.
            stored[name + _TEXT] = text if text.isascii() or not _UNSTORABLE.search(text) else _encode_in_ascii(value)
        elif type(value) is str and _UNSTORABLE.search(value):
            stored[name + _TEXT] = _encode_in_ascii(value)
        else:
            stored[name] = value
    return stored


def _text_hash(stored: JsonObject) -> str:
    return _sha256(_encode_sorted(stored))


def _native_hash(payload: JsonObject) -> str:
    """The hash of a payload that holds its values as jsonb: of the JSON with sorted keys, its numbers as doubles, for
    jsonb orders keys its own way and writes 1e+16 with all its digits."""
    # Adding zero takes the sign off -0.0, which jsonb does not keep.
    value = json.loads(json.dumps(payload), parse_int=float, parse_float=lambda digits: float(digits) + 0.0)
    return _sha256(_encode_sorted(value))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
