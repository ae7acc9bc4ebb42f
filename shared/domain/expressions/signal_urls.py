"""`{% $execution.signal_urls.name %}` in a node's parameters: a URL by which whoever has it sends the run a signal.

It is a credential. Like a secret it is not evaluated: a placeholder stands for it, in events too, until an effect is
performed. Unlike with a secret, other expressions may stand beside it: a text from outside that holds the placeholder
gets no more than the URL once again, in the same message to the same recipient.
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
    """What stands for the URL wherever it is stored or shown."""
    return f"[signal_url:{name}]"


def signal_named(source: str) -> str | None:
    """The signal whose URL this expression is, and nothing else is in it; `None` for any other expression."""
    match = _REFERENCE.fullmatch(source.strip())
    return (match[1] or match[2]) if match else None


def signal_names(value: object) -> Iterator[str]:
    """The names of all signals whose URLs stand in the JSON."""
    for text in _texts(value):
        yield from (name for part in _parts(text) if isinstance(part, Source) and (name := signal_named(part.text)))


def masked(value: Value) -> Value:
    """The JSON with placeholders in the place of URLs; all other expressions stay."""
    return cast("Value", _masked(value))


def _masked(value: object) -> object:
    if isinstance(value, str):
        return _masked_text(value) if MARK in value else value
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def revealed(value: Value, urls: Mapping[str, str]) -> Value:
    """The JSON with URLs, by the signals' names, in the place of their placeholders."""
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
