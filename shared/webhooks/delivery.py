"""A delivery as it came in, and how data names a place in it: `header:X-Event`, `query:token`, `json:event.type`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from shared.domain.json_values import parse_json
from shared.errors import InvalidRequestError


@dataclass(frozen=True)
class Delivery:
    """A delivery before anything in it is believed.

    `headers` are by lower-case name, `body` the bytes as sent, `url` the webhook's registered public URL (never
    rebuilt from the Host header, which the sender chooses), `config` the webhook's own settings.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def json(self) -> Any:
        """The body's JSON value, or `None` when it is none. For verified deliveries only: parsing can be attacked."""
        try:
            return parse_json(self.body, refuse_unstorable=False)
        except InvalidRequestError:
            return None


Source = Callable[[Delivery], str | None]


def parse_source(text: str) -> Source:
    """The reader of a place in a delivery, which gives its text or `None` where there is none. A source that the
    grammar does not know raises `ValueError`."""
    kind, _, name = text.partition(":")
    if kind not in _READERS or not name:
        raise ValueError(
            f"{text!r} names no place in a delivery; write one of {', '.join(sorted(_READERS))} and a name."
        )
    return _READERS[kind](name)


def _header(name: str) -> Source:
    lower = name.lower()
    return lambda delivery: delivery.headers.get(lower)


def _query(name: str) -> Source:
    return lambda delivery: delivery.query.get(name)


def _json(name: str) -> Source:
    path = name.split(".")
    # Most deliveries do not have what most paths name; finding that out must not cost a parse of megabytes.
    needle = f'"{path[0]}"'.encode()

    def read(delivery: Delivery) -> str | None:
        value = delivery.json if needle in delivery.body else None
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return None
        return str(value)

    return read


_READERS: dict[str, Callable[[str], Source]] = {"header": _header, "query": _query, "json": _json}
