"""How payloads are stored: large ones once, by content; and the two kinds of text that jsonb cannot hold, escaped.

Postgres refuses U+0000 and lone surrogates in jsonb, yet both are legal in JSON text that a provider may send. A
payload with either is kept as `{"$base64": <its JSON text>}`. Neither form can be confused with a fact's payload,
whose keys are our own field names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

# Above this many bytes of JSON a payload is stored once per tenant and content, and referenced.
INLINE_LIMIT_BYTES = 16_384

# An escaped NUL or surrogate; pairs of surrogates are fine, and so is a backslash that is itself escaped.
_SUSPECT = re.compile(r"\\u(?:0000|d[89a-f][0-9a-f]{2})", re.IGNORECASE)

JsonObject = dict[str, Any]


def store(payload: JsonObject) -> tuple[JsonObject, JsonObject | None]:
    """What goes into the event, and the row of `payloads` (without its tenant) where the payload is a large one."""
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    stored = payload
    if _SUSPECT.search(text) and not _storable(payload):
        stored = {"$base64": base64.b64encode(text.encode()).decode()}
    if len(text) <= INLINE_LIMIT_BYTES:
        return stored, None
    sha256 = _content_hash(text)
    reference = {"$payload": sha256, "size_bytes": len(text)}
    return reference, {"sha256": sha256, "body": stored, "size_bytes": len(text)}


def content_hash(payload: JsonObject) -> str:
    """The SHA-256 under which `store` keeps the payload: the same before it is stored and after it is loaded.

    jsonb orders keys its own way and writes 1e+16 with all its digits, so the hash is that of the JSON with sorted
    keys, its numbers as doubles.
    """
    return _content_hash(json.dumps(payload))


def _content_hash(text: str) -> str:
    # Adding zero takes the sign off -0.0, which jsonb does not keep.
    value = json.loads(text, parse_int=float, parse_float=lambda digits: float(digits) + 0.0)
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load(stored: JsonObject) -> JsonObject:
    """The payload as it was given to `store`; the database has already followed a reference."""
    if "$base64" in stored:
        loaded: JsonObject = json.loads(base64.b64decode(stored["$base64"]))
        return loaded
    return stored


def _storable(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_storable(key) and _storable(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_storable(item) for item in value)
    return True
