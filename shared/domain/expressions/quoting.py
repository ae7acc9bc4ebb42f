"""What is quoted in a tenant's text: JSONata's texts, its names in backticks, and its comments.

A text is walked through once, whatever stands in it: where each kind of quote may end is listed once, and where a walk
has led to no mark no other goes on. Graphs are read on the event loop that all of a drain's runs share, and a regular
expression alone would begin anew at each quote that nothing closes.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterator

MARK = "%}"
_OPENING = re.compile(r"%\}|[\"'`]|/\*")
# What closes them is the first group; a backslash takes the next character's meaning.
_CLOSING = {
    '"': re.compile(r'\\.|(")', re.DOTALL),
    "'": re.compile(r"\\.|(')", re.DOTALL),
    "`": re.compile(r"(`)"),
    "/*": re.compile(r"(\*/)"),
}
_NEVER = sys.maxsize


class Quoting:
    """Of one text. A quote that nothing closes quotes nothing: in JSONata it may stand in a regular expression."""

    def __init__(self, text: str) -> None:
        """Nothing has been looked for yet."""
        self._text = text
        # Per kind of quote, all places where one would end: whether a character is escaped depends on the backslashes
        # right before it alone.
        self._closings: dict[str, list[int]] = {}
        # What stands here is followed by no mark outside of quotes.
        self._dead: set[int] = set()

    def mark(self, start: int) -> int | None:
        """Where the first `%}` stands that is not quoted, for whoever reads from `start`; `None` where none does."""
        seen: list[int] = []
        for begin, _end in self._found(start):
            if begin in self._dead:
                break
            if self._text.startswith(MARK, begin):
                return begin
            seen.append(begin)
        self._dead.update(seen)
        return None

    def outside(self) -> str:
        """The text with a blank in the place of each quoted part, and of each mark."""
        pieces, position = [], 0
        for begin, end in self._found(0):
            if end > begin:
                pieces.append(self._text[position:begin])
                position = end
        return " ".join([*pieces, self._text[position:]])

    def _found(self, start: int) -> Iterator[tuple[int, int]]:
        """Where marks and quoted parts begin and end; a quote that nothing closes ends where it begins."""
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
