"""Templates over a delivery: `{header:webhook-id}.{ts}.{body}` is what a sender signed, byte for byte."""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.webhooks.transforms import as_bytes
from shared.webhooks.words import Facts, Word, parse_word

_WORD = re.compile(r"\{([^{}]*)\}")


class Template(NamedTuple):
    """A parsed template."""

    parts: tuple[bytes | Word, ...]

    def render(self, facts: Facts) -> bytes | None:
        """The bytes; `None` where the delivery lacks something that is named: then nothing was signed that could be
        verified."""
        found: list[bytes] = []
        for part in self.parts:
            piece = part if isinstance(part, bytes) else part.read(facts)
            if piece is None:
                return None
            found.append(piece if isinstance(piece, bytes) else as_bytes(piece))
        return found[0] if len(found) == 1 else b"".join(found)

    @property
    def words(self) -> tuple[str, ...]:
        """The words in it that a signature over it covers, without their transforms."""
        return tuple(base for part in self.parts if isinstance(part, Word) and not part.is_lossy for base in part.bases)

    def missing(self, facts: Facts) -> str | None:
        """The first word that the delivery lacks."""
        return next((part.text for part in self.parts if isinstance(part, Word) and part.read(facts) is None), None)


def parse_template(text: str) -> Template:
    """The template in `text`; an unknown word or a stray brace raises `ValueError`."""
    parts: list[bytes | Word] = []
    for place, piece in enumerate(_WORD.split(text)):
        if place % 2:
            parts.append(_word(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"The template {text!r} has a brace without its partner; write {{open}} and {{close}}.")
        elif piece:
            parts.append(piece.encode())
    return Template(tuple(parts))


def _word(text: str) -> Word:
    try:
        return parse_word(text)
    except ValueError as error:
        raise ValueError(f"{{{text}}} is no word of a template: {error}") from None
