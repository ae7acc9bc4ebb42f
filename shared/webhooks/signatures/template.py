"""Templates over a delivery: `{header:webhook-id}.{ts}.{body}` renders what a sender signed, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from shared.webhooks.delivery import SignatureContext
from shared.webhooks.signatures.encodings import as_bytes
from shared.webhooks.signatures.fields import Field, parse_field

MAX_LET_DEPTH = 4

_FIELD = re.compile(r"\{([^{}]*)\}")


class Template(NamedTuple):
    """A parsed template."""

    parts: tuple[bytes | Field, ...]

    def render(self, context: SignatureContext) -> bytes | None:
        """The bytes; `None` where the delivery lacks a field, or its work budget is spent."""
        pieces: list[bytes] = []
        work = context.delivery.work
        # Once the budget is spent, a template of literal text alone must not render either.
        if not work.spend(0):
            return None
        for part in self.parts:
            piece = part if isinstance(part, bytes) else part.read(context)
            if piece is None:
                return None
            pieces.append(piece if isinstance(piece, bytes) else as_bytes(piece))
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        # What is rendered is hashed or compared, which is faster than what transforms do.
        return whole if work.spend(len(whole) // 4) else None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields in it that a signature over it covers, without their transforms."""
        return tuple(
            base for part in self.parts if isinstance(part, Field) and not part.is_lossy for base in part.bases
        )

    def missing(self, context: SignatureContext) -> str | None:
        """The first field that the delivery lacks."""
        return next((part.text for part in self.parts if isinstance(part, Field) and part.read(context) is None), None)


def parse_template(text: str) -> Template:
    """The template in `text`; an unknown field or a stray brace raises `ValueError`."""
    parts: list[bytes | Field] = []
    for place, piece in enumerate(_FIELD.split(text)):
        if place % 2:
            parts.append(_parsed_field(piece))
        elif "{" in piece or "}" in piece:
            raise ValueError(f"The template {text!r} has a brace without its partner; write {{open}} and {{close}}.")
        elif piece:
            parts.append(piece.encode())
    return Template(tuple(parts))


def parse_lets(texts: Mapping[str, str]) -> dict[str, Template]:
    """The templates of a table `let`; one that names itself, by whatever way, or others too deeply raises
    `ValueError`."""
    lets = {name: parse_template(text) for name, text in texts.items()}
    named = {name: {name for name in _names(template) if name in lets} for name, template in lets.items()}
    # Follows the names level by level: whatever is left after so many levels is a circle, or nested too deeply.
    level = set(lets)
    for _ in range(MAX_LET_DEPTH):
        level = {inner for name in level for inner in named[name]}
    if level:
        raise ValueError(f"let: {min(level)} names itself, or the texts name one another too deeply.")
    return lets


def _names(template: Template) -> set[str]:
    """The texts of `let` that a template names."""
    fields = [
        field for part in template.parts if isinstance(part, Field) for base in part.bases for field in _inner(base)
    ]
    return {field.removeprefix("let:") for field in fields if field.startswith("let:")}


def _inner(base: str) -> list[str]:
    # The fields within `sorted:` may have transforms of their own.
    bare = base.removeprefix("sorted:").split(",") if base.startswith("sorted:") else [base]
    return [field.partition("|")[0].strip().removesuffix("?") for part in bare for field in part.split(" / ")]


def _parsed_field(text: str) -> Field:
    try:
        return parse_field(text)
    except ValueError as error:
        raise ValueError(f"{{{text}}} is no field of a template: {error}") from None
