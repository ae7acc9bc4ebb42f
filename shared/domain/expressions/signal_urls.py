"""`{% $execution.signal_urls.name %}` in a node's parameters: a URL whose holder can send the run a signal.

It is a credential. Like a secret it is not evaluated: until the effect is performed a placeholder stands for it, in
events too. Unlike with a secret, the text may have other expressions: untrusted data with the placeholder in it yields
only the same URL again, in the same message to the same recipient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

from shared.domain.expressions.expressions import ExpressionError, Source, is_whole, split

Value = TypeVar("Value")

_REFERENCE = re.compile(
    r"\$execution\s*\.\s*signal_urls\s*\.\s*(?:([A-Za-z_][A-Za-z0-9_]{0,99})|`([A-Za-z0-9_.-]{1,100})`)", re.ASCII
)
MARK = "signal_urls"


def placeholder(name: str) -> str:
    """The text that stands for the URL wherever it is stored or shown."""
    return f"[signal_url:{name}]"


def signal_named(source: str) -> str | None:
    """The signal's name, if the expression is a reference to its URL and nothing else; else `None`."""
    match = _REFERENCE.fullmatch(source.strip())
    return (match[1] or match[2]) if match else None


def signal_names(value: object) -> Iterator[str]:
    """The names of all signals whose URLs the JSON refers to."""
    for text in _texts(value):
        yield from (name for part in _parts(text) if isinstance(part, Source) and (name := signal_named(part.text)))


def masked(value: Value) -> Value:
    """The JSON with placeholders for URLs; all other expressions stay."""
    return cast("Value", _masked(value))


def _masked(value: object) -> object:
    if isinstance(value, str):
        return _masked_text(value) if MARK in value else value
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def revealed(value: Value, urls: Mapping[str, str]) -> Value:
    """The JSON with `urls`, by the signals' names, instead of their placeholders."""
    return cast("Value", _revealed(value, urls))


def _revealed(value: object, urls: Mapping[str, str]) -> object:
    if isinstance(value, str):
        for name, url in urls.items():
            value = value.replace(placeholder(name), url)
        return value
    if isinstance(value, dict):
        return {name: _revealed(item, urls) for name, item in value.items()}
    return [_revealed(item, urls) for item in value] if isinstance(value, list) else value


def _masked_text(text: str) -> str:
    parts = _parts(text)
    names = [signal_named(part.text) if isinstance(part, Source) else None for part in parts]
    if not any(names):
        return text
    texts = [
        placeholder(name) if name else part if isinstance(part, str) else f"{{% {part.text} %}}"
        for part, name in zip(parts, names, strict=True)
    ]
    return "".join(texts).strip() if is_whole(parts) else "".join(texts)


def _parts(text: str) -> tuple[str | Source, ...]:
    try:
        return split(text)
    except ExpressionError:
        return ()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if MARK in value:
            yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
