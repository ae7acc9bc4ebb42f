"""Templates over a delivery: `{header:webhook-id}.{ts}.{body}` is what a sender signed, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from shared.webhooks.delivery import Delivery, parse_source

_WORD = re.compile(r"\{([^{}]*)\}")

# A part gives its bytes, or `None` where the delivery lacks it: then nothing was signed that could be verified.
Part = Callable[[Delivery, str | None], bytes | None]

_WORDS: dict[str, Part] = {
    "body": lambda delivery, _: delivery.body,
    "ts": lambda _, timestamp: None if timestamp is None else _bytes(timestamp),
    "url": lambda delivery, _: _bytes(delivery.url),
    "method": lambda delivery, _: _bytes(delivery.method),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `words` are the names in it: what is named there is covered by the signature."""

    words: tuple[str, ...]
    parts: tuple[bytes | Part, ...]

    def render(self, delivery: Delivery, timestamp: str | None = None) -> bytes | None:
        """The bytes for this delivery, `timestamp` as received; `None` where it lacks something that is named."""
        found: list[bytes] = []
        for part in self.parts:
            piece = part if isinstance(part, bytes) else part(delivery, timestamp)
            if piece is None:
                return None
            found.append(piece)
        return found[0] if len(found) == 1 else b"".join(found)


def parse_template(text: str) -> Template:
    """The template in `text`; an unknown word or a stray brace raises `ValueError`."""
    words: list[str] = []
    parts: list[bytes | Part] = []
    for place, piece in enumerate(_WORD.split(text)):
        if place % 2:
            words.append(piece)
            parts.append(_part(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"The template {text!r} has a brace without its partner.")
        elif piece:
            parts.append(piece.encode())
    return Template(tuple(words), tuple(parts))


def _part(word: str) -> Part:
    if word in _WORDS:
        return _WORDS[word]
    try:
        source = parse_source(word)
    except ValueError:
        known = ", ".join(f"{{{name}}}" for name in _WORDS)
        raise ValueError(f"{{{word}}} is no word of a template; there are {known} and {{header:…}}.") from None

    def read(delivery: Delivery, _: str | None) -> bytes | None:
        value = source(delivery)
        return None if value is None else _bytes(value)

    return read


def _bytes(text: str) -> bytes:
    # Half a surrogate pair in a header is a forgery at most, never an exception.
    return text.encode("utf-8", "surrogatepass")
