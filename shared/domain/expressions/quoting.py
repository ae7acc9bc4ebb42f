"""Finds the quoted parts of an expression's text: JSONata strings, names in backticks, and comments.

Takes linear time for any text: the ends of each kind of quote are found once, and a walk stops where an earlier one
found no mark. Graphs are parsed on the event loop that all runs of a drain share, and a regular expression alone would
start again at each unclosed quote.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterator

MARK = "%}"
_OPENING = re.compile(r"%\}|[\"'`]|/\*")
# The first group is the closing quote; a backslash escapes the next character.
_CLOSING = {
    '"': re.compile(r'\\.|(")', re.DOTALL),
    "'": re.compile(r"\\.|(')", re.DOTALL),
    "`": re.compile(r"(`)"),
    "/*": re.compile(r"(\*/)"),
}
_NEVER = sys.maxsize


class Quoting:
    """The quoted parts of one text. An unclosed quote quotes nothing: it may be part of a regular expression."""

    def __init__(self, text: str) -> None:
        """Searches lazily."""
        self._text = text
        # Per kind of quote, all places where one could end: whether a character is escaped depends only on the
        # backslashes right before it.
        self._closings: dict[str, list[int]] = {}
        # Places that no unquoted mark follows.
        self._dead: set[int] = set()

    def mark(self, start: int) -> int | None:
        """The place of the first unquoted `%}` when reading from `start`; `None` where there is none."""
        seen: list[int] = []
        for begin, _end in self._parts(start):
            if begin in self._dead:
                break
            if self._text.startswith(MARK, begin):
                return begin
            seen.append(begin)
        self._dead.update(seen)
        return None

    def outside(self) -> str:
        """The text with a blank instead of each quoted part and each mark."""
        pieces, position = [], 0
        for begin, end in self._parts(0):
            if end > begin:
                pieces.append(self._text[position:begin])
                position = end
        return " ".join([*pieces, self._text[position:]])

    def _parts(self, start: int) -> Iterator[tuple[int, int]]:
        """The (start, end) of each mark and quoted part; an unclosed quote ends where it starts."""
        position = start
        while opening := _OPENING.search(self._text, position):
            begin, position = opening.span()
            if opening.group() == MARK:
                yield begin, position
                continue
            end = self._end(opening.group(), position)
            yield begin, begin if end == _NEVER else end
            position = position if end == _NEVER else end

    def _end(self, quote: str, start: int) -> int:
        if quote not in self._closings:
            matches = _CLOSING[quote].finditer(self._text)
            self._closings[quote] = [match.end() for match in matches if match.group(1)]
        closings = self._closings[quote]
        index = bisect_left(closings, start + len(quote))
        return closings[index] if index < len(closings) else _NEVER
