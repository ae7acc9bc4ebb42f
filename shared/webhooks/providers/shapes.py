"""Shapes of texts, by name and length: what a user-defined scheme has instead of patterns.

They are held against text that nobody has signed, and take time in proportion to it. The classes are digits, hex,
alphanumeric, base64, base64url, uuid, and challenge: what no provider would send as an event.

shape = { "query:token" = "uuid" }
shape = { "query:token" = { class = "base64url", length = 43 } }
shape = { "query:token" = { class = "hex", min_length = 8, max_length = 64 } }     1 to 200, where nothing is said
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import NamedTuple

from shared.ids import is_uuid
from shared.json_types import JsonMapping
from shared.webhooks.toml_reader import TomlTable

MAX_CHARACTERS = 512
DEFAULT_CHARACTERS = 200
_ALPHANUMERIC = string.ascii_letters + string.digits
CLASSES: dict[str, frozenset[str]] = {
    "digits": frozenset(string.digits),
    "hex": frozenset(string.hexdigits),
    "alphanumeric": frozenset(_ALPHANUMERIC),
    "base64": frozenset(f"{_ALPHANUMERIC}+/="),
    "base64url": frozenset(f"{_ALPHANUMERIC}-_="),
    # No JSON text but a bare word or number, no form, no XML: nothing that a provider would send as an event.
    "challenge": frozenset(f"{_ALPHANUMERIC}._~+/:=-"),
    "uuid": frozenset(f"{string.hexdigits}-"),
}


class Shape(NamedTuple):
    """A class of characters, and how many of them."""

    name: str
    min_length: int
    max_length: int

    def fits(self, text: str) -> bool:
        """Whether all of the text has this shape."""
        if not self.min_length <= len(text) <= self.max_length or not CLASSES[self.name].issuperset(text):
            return False
        return self.name != "uuid" or is_uuid(text.lower())


def parse_shape(data: object) -> Shape:
    """The shape in a text or a table; `ValueError` outside the grammar."""
    fields: JsonMapping = data if isinstance(data, Mapping) else {"class": data}
    table = TomlTable("shape", fields)
    name = table.one_of("class", tuple(CLASSES))
    table.has_only("class", "length", "min_length", "max_length")
    if name == "uuid":
        return Shape(name, 36, 36)
    if "length" in fields:
        length = table.whole("length", 1, 1, MAX_CHARACTERS)
        return Shape(name, length, length)
    shape = Shape(
        name,
        table.whole("min_length", 1, 1, MAX_CHARACTERS),
        table.whole("max_length", DEFAULT_CHARACTERS, 1, MAX_CHARACTERS),
    )
    if shape.min_length > shape.max_length:
        raise ValueError("shape.min_length must not be more than shape.max_length.")
    return shape
