"""How a provider proves that a delivery is its own: the `[scheme]` and `[timestamp]` of its file, checked and compiled.

[scheme]
kind = "hmac"                     what the proof is
algorithm = "sha256"              one of HMAC's hashes; never the sender's choice
content = "{ts}.{body}"           what is signed
key_encoding = "utf8"             how the secret's text is the key: utf8, base64, base64url, hex
key_prefix = "whsec_"             taken off the secret first, where it is there

[scheme.signature]
in = "header:webhook-signature"   where it stands
encoding = "base64"               hex, base64, base64url
format = "single"                 single: one value after `prefix`; list: values parted by `separator`, of which
prefix = "v1,"                    those with `prefix` count; pairs: `name=value` parted by `separator`, of which
separator = " "                   those named `name` count
name = "v1"

[timestamp]
in = "header:webhook-timestamp"   or `signature:t`: the pair of this name in the signature
unit = "s"                        s, ms, us, ns, iso8601, http_date
tolerance_seconds = 300           how old it may be, and how far in the future
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.webhooks.clock import UNITS
from shared.webhooks.delivery import Source, parse_source
from shared.webhooks.encodings import DECODERS
from shared.webhooks.template import Template, parse_template

ALGORITHMS = ("sha256", "sha1", "sha384", "sha512")
FORMATS = ("single", "list", "pairs")


@dataclass(frozen=True, slots=True)
class Signature:
    """Where the signature stands and how it is written. `place` is the name of that place, for people."""

    place: str
    source: Source
    encoding: str
    format: str
    prefix: str
    separator: str
    name: str


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Where the timestamp stands: in a place of its own (`source`), or as the pair `pair` of the signature."""

    place: str
    source: Source | None
    pair: str | None
    unit: str
    tolerance_seconds: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """An HMAC over a template."""

    kind: str
    algorithm: str
    digest_size: int
    content: Template
    key_encoding: str
    key_prefix: str
    signature: Signature
    timestamp: Timestamp | None

    @property
    def signs_timestamp(self) -> bool:
        """Whether a changed timestamp breaks the signature."""
        return "ts" in self.content.words

    def signs(self, place: str) -> bool:
        """Whether what stands there (`header:…`, `json:…`, `query:…`) is covered by the signature."""
        if place.startswith("json:"):
            return "body" in self.content.words
        return place.lower() in (word.lower() for word in self.content.words)


def compile_scheme(scheme: Mapping[str, Any], timestamp: Mapping[str, Any] | None) -> Scheme:
    """The scheme in a provider's data; data outside the grammar raises `ValueError` that says what to write."""
    table = _Table("scheme", scheme)
    signature = _Table("scheme.signature", scheme.get("signature") or {})
    algorithm = table.one_of("algorithm", ALGORITHMS)
    compiled = Scheme(
        kind=table.one_of("kind", ("hmac",)),
        algorithm=algorithm,
        digest_size=hashlib.new(algorithm, usedforsecurity=False).digest_size,
        content=parse_template(table.text("content")),
        key_encoding=table.one_of("key_encoding", ("utf8", *DECODERS)),
        key_prefix=table.text("key_prefix", ""),
        signature=Signature(
            place=signature.text("in"),
            source=parse_source(signature.text("in")),
            encoding=signature.one_of("encoding", tuple(DECODERS)),
            format=signature.one_of("format", FORMATS),
            prefix=signature.text("prefix", ""),
            separator=signature.text("separator", ","),
            name=signature.text("name", ""),
        ),
        timestamp=_timestamp(timestamp) if timestamp else None,
    )
    table.has_only("kind", "algorithm", "content", "key_encoding", "key_prefix", "signature")
    signature.has_only("in", "encoding", "format", "prefix", "separator", "name")
    if compiled.signs_timestamp and compiled.timestamp is None:
        raise ValueError("The content has {ts}, but where the timestamp stands is not said.")
    if "body" not in compiled.content.words:
        raise ValueError("The content has no {body}: anybody could change it.")
    if not compiled.signature.separator:
        raise ValueError("scheme.signature.separator must not be empty.")
    return compiled


def _timestamp(data: Mapping[str, Any]) -> Timestamp:
    table = _Table("timestamp", data)
    place = table.text("in")
    kind, _, pair = place.partition(":")
    tolerance = data.get("tolerance_seconds", 300)
    if not isinstance(tolerance, int) or isinstance(tolerance, bool) or not 0 < tolerance <= 86_400:
        raise ValueError("timestamp.tolerance_seconds must be a whole number from 1 to 86400.")
    table.has_only("in", "unit", "tolerance_seconds")
    return Timestamp(
        place=place,
        source=None if kind == "signature" else parse_source(place),
        pair=pair if kind == "signature" else None,
        unit=table.one_of("unit", tuple(UNITS)),
        tolerance_seconds=tolerance,
    )


class _Table:
    """A table of a provider's file, read with errors that name its key."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self._name = name
        self._data = data

    def text(self, key: str, default: str | None = None) -> str:
        value = self._data.get(key, default)
        if not isinstance(value, str) or (value == "" and default is None):
            raise ValueError(f"{self._name}.{key} must be a text.")
        return value

    def one_of(self, key: str, known: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in known:
            raise ValueError(f"{self._name}.{key} must be one of {', '.join(known)}, not {value!r}.")
        return value

    def has_only(self, *known: str) -> None:
        unknown = sorted(set(self._data) - set(known))
        if unknown:
            raise ValueError(f"{self._name}.{unknown[0]} is not known; there are {', '.join(known)}.")
