"""`{% $secrets.name %}` in a node's parameters: finds the references, and replaces them by placeholders or values.

A secret is never evaluated. Until the effect is performed a placeholder stands in its place, also in events. Values are
put only into the texts that have a reference in the graph, and these have no other data of the run: a placeholder in
a delivery is never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.expressions.expressions import ExpressionError, Source, is_whole, split
from shared.json_types import JsonObject

NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
_REFERENCE = re.compile(r"\$secrets\s*\.\s*([A-Za-z_][A-Za-z0-9_]{0,99})", re.ASCII)

Path = tuple[str, ...]
# Changes a text with references to secrets of these names.
Change = Callable[[str, tuple[str, ...]], str]


@dataclass(frozen=True, slots=True)
class Reference:
    """A text with references to secrets: its path in the parameters, and the secrets' names."""

    path: Path
    names: tuple[str, ...]


def placeholder(name: str) -> str:
    """The text that stands for the secret wherever it is stored or shown."""
    return f"[secret:{name}]"


def secret_named(source: str) -> str | None:
    """The secret's name, if the expression is a reference and nothing else; else `None`."""
    match = _REFERENCE.fullmatch(source.strip())
    return match[1] if match else None


def references(value: object, *path: str) -> Iterator[Reference]:
    """Every text whose only expressions are references to secrets; those within lists are not supported."""
    if isinstance(value, str):
        names = _names(value)
        if names:
            yield Reference(path, names)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from references(item, *path, name)


def masked(parameters: JsonObject) -> JsonObject:
    """The parameters with placeholders for secrets."""
    return _changed(parameters, list(references(parameters)), lambda text, _names: _with_placeholders(text))


def revealed(parameters: JsonObject, places: Sequence[Reference], secrets: Mapping[str, str]) -> JsonObject:
    """The resolved parameters with secrets instead of placeholders, at the `places` of the graph's references."""

    def reveal(text: str, names: tuple[str, ...]) -> str:
        # In one pass, so that a secret that looks like a placeholder is not replaced itself.
        pattern = "|".join(re.escape(placeholder(name)) for name in names)
        return re.sub(pattern, lambda match: secrets[match[0][len("[secret:") : -1]], text)

    return _changed(parameters, places, reveal)


def _names(text: str) -> tuple[str, ...]:
    if "$secrets" not in text:
        return ()
    try:
        names = [secret_named(part.text) for part in split(text) if isinstance(part, Source)]
    except ExpressionError:
        return ()
    # A text with another expression has no references: publishing refuses it.
    return tuple(dict.fromkeys(name for name in names if name is not None)) if None not in names else ()


def _with_placeholders(text: str) -> str:
    parts = split(text)
    texts = [part if isinstance(part, str) else placeholder(secret_named(part.text) or "") for part in parts]
    return "".join(texts).strip() if is_whole(parts) else "".join(texts)


def _changed(value: JsonObject, places: Sequence[Reference], change: Change) -> JsonObject:
    changed = value
    for place in places:
        changed = _changed_at(changed, place.path, place.names, change)
    return changed


def _changed_at(value: JsonObject, path: Path, names: tuple[str, ...], change: Change) -> JsonObject:
    """The object with its text at `path`, where there is one, changed."""
    name, *rest = path
    item = value.get(name)
    if rest and isinstance(item, dict):
        return {**value, name: _changed_at(item, tuple(rest), names, change)}
    if not rest and isinstance(item, str):
        return {**value, name: change(item, names)}
    return value
