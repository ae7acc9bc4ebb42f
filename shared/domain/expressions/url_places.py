"""Where in a URL the expressions of its text stand: data there must not reach into the parts before or behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from shared.domain.expressions.expressions import Source, is_whole

# `base`: the URL begins with it, and so it has the scheme, the host and perhaps more.
Place = Literal["base", "authority", "path", "query", "fragment"]


def url_places(parts: Sequence[object]) -> Iterator[tuple[int, Place]]:
    """(index, place) of each expression among the parts of a URL's text, of which the others are literal."""
    place: Place = "base"
    for index, part in enumerate(parts):
        if isinstance(part, str):
            place = _after(place, part)
        else:
            yield index, place
            # Whatever it is, it ends before the path that the literal text goes on with.
            place = "authority" if place == "base" else place


def drawn_host(parts: Sequence[str | Source]) -> list[Source]:
    """The expressions that have a say in which host the URL names."""
    sources = [(index, part) for index, part in enumerate(parts) if isinstance(part, Source)]
    if is_whole(tuple(parts)):
        return [source for _, source in sources]
    places = dict(url_places(parts))
    return [source for index, source in sources if places[index] in ("base", "authority")]


def _after(place: Place, literal: str) -> Place:
    if place == "base":
        _, found, literal = literal.partition("://")
        if not found:
            return "base"
        place = "authority"
    for character in literal:
        if character == "#":
            return "fragment"
        if character == "?" and place != "fragment":
            place = "query"
        elif character in "/\\" and place == "authority":
            place = "path"
    return place
