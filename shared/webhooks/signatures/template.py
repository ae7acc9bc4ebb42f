"""Templates over a delivery: `{header:webhook-id}.{ts}.{body}` is what a sender signed, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.webhooks.delivery import SignatureContext
from shared.webhooks.signatures.encodings import as_bytes
from shared.webhooks.signatures.fields import Field, parse_field

MAX_LET_DEPTH = 4

_WORD = re.compile(r"\{([^{}]*)\}")


class Template(NamedTuple):
    """A parsed template."""

    parts: tuple[bytes | Field, ...]

    def render(self, facts: SignatureContext) -> bytes | None:
        """The bytes; `None` where the delivery lacks something that is named: then nothing was signed that could be
        verified."""
        found: list[bytes] = []
        work = facts.delivery.work
        if not work.spend(0):
            return None
        for part in self.parts:
            piece = part if isinstance(part, bytes) else part.read(facts)
            if piece is None:
                return None
            found.append(piece if isinstance(piece, bytes) else as_bytes(piece))
        whole = found[0] if len(found) == 1 else b"".join(found)
        # What is rendered is hashed or compared, which is faster than what transforms do.
        return whole if work.spend(len(whole) // 4) else None

    @property
    def words(self) -> tuple[str, ...]:
        """The words in it that a signature over it covers, without their transforms."""
        return tuple(
            base for part in self.parts if isinstance(part, Field) and not part.is_lossy for base in part.bases
        )

    def missing(self, facts: SignatureContext) -> str | None:
        """The first word that the delivery lacks."""
        return next((part.text for part in self.parts if isinstance(part, Field) and part.read(facts) is None), None)


def parse_template(text: str) -> Template:
    """The template in `text`; an unknown word or a stray brace raises `ValueError`."""
    parts: list[bytes | Field] = []
    for place, piece in enumerate(_WORD.split(text)):
        if place % 2:
            parts.append(_word(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"The template {text!r} has a brace without its partner; write {{open}} and {{close}}.")
        elif piece:
            parts.append(piece.encode())
    return Template(tuple(parts))


def parse_lets(texts: Mapping[str, str]) -> dict[str, Template]:
    """The templates of a table `let`; one that names itself, by whatever way, or others too deeply raises
    `ValueError`."""
    lets = {name: parse_template(text) for name, text in texts.items()}
    named = {name: {each for each in _names(template) if each in lets} for name, template in lets.items()}
    level = set(lets)
    for _ in range(MAX_LET_DEPTH):
        level = {inner for name in level for inner in named[name]}
    if level:
        raise ValueError(f"let: {min(level)} names itself, or the texts name one another too deeply.")
    return lets


def _names(template: Template) -> set[str]:
    """The texts of `let` that a template names."""
    words = [word for part in template.parts if isinstance(part, Field) for base in part.bases for word in _inner(base)]
    return {word.removeprefix("let:") for word in words if word.startswith("let:")}


def _inner(base: str) -> list[str]:
    # The words within `sorted:` may have transforms of their own.
    bare = base.removeprefix("sorted:").split(",") if base.startswith("sorted:") else [base]
    return [each.partition("|")[0].strip().removesuffix("?") for part in bare for each in part.split(" / ")]


def _word(text: str) -> Field:
    try:
        return parse_field(text)
    except ValueError as error:
        raise ValueError(f"{{{text}}} is no word of a template: {error}") from None
