"""What a tenant who misspelt a name probably meant."""

from __future__ import annotations

from collections.abc import Iterable

# `difflib` compares this many candidates, and this many characters of the name: it takes a millisecond for two long
# names that it finds alike, and a graph may have a thousand nodes.
MAX_COMPARED = 8
MAX_COMPARED_CHARACTERS = 100
# A longer list of known names helps nobody who reads an error.
MAX_LISTED = 24


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`; `None` where none is alike."""
    import difflib  # most requests misspell nothing

    name = name[:MAX_COMPARED_CHARACTERS]
    matches = difflib.get_close_matches(name, _candidates(name, list(known)), n=1)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A suggestion that names the nearest known name, or else all of them; `None` where there are none or too many."""
    known = list(known)
    nearest = nearest_name(name, known)
    if nearest is not None:
        return f"Did you mean {nearest!r}?"
    return f"There is {', '.join(sorted(known))}." if 0 < len(known) <= MAX_LISTED else None


def _candidates(name: str, known: list[str]) -> list[str]:
    """The known names that share the most pairs of letters with `name`."""
    if len(known) <= MAX_COMPARED:
        return known
    from heapq import nlargest

    pairs = {name[place : place + 2] for place in range(max(1, len(name) - 1))}
    return nlargest(MAX_COMPARED, known, key=lambda candidate: sum(pair in candidate for pair in pairs))
