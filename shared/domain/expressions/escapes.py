"""Decodes escaped text and maps places in the result back to the text: JSON, HTML and percent escapes, folded lines.

A server may write a text in any of these forms, in one within another, and mixed: every pass takes one layer off.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

# Runs, where every character is escaped alike, are decoded at once.
_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9a-f]{2})+)"
    r"|(?P<json>(?:\\u[0-9a-f]{4})+)"
    r"|(?P<code>\\u\{0{0,6}[0-9a-f]{1,6}\}|\\x[0-9a-f]{2}|%u[0-9a-f]{4})"
    r"|\\(?P<simple>[\"'/\\bfnrt])"
    r"|(?<=[\w+/=-]{20})(?P<fold>\r?\n[ \t]{0,100})"
    r"|&\#0{0,6}(?P<decimal>[0-9]{1,7});?|&\#x0{0,6}(?P<hex>[0-9a-f]{1,6});?|&(?P<entity>[a-z][a-z0-9]{1,30});",
    re.ASCII | re.IGNORECASE,
)
_SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MARKS = ("%", "\\", "&", "\n")


class TooManyEscapesError(ValueError):
    """The text has more escapes than are decoded."""


@dataclass(slots=True)
class Decoded:
    """A text with one layer of escapes taken off, as segments: where each begins here and in the text before, and how
    many characters there make one here; 0 where the segment is only known as a whole."""

    text: str
    starts: list[int] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The span of the text before that became `start` to `end`, which is not empty."""
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1) - 1
        begin = self.origins[first] + (start - self.starts[first]) * self.strides[first]
        if self.strides[last] == 0:
            return begin, self.origins[last + 1]
        return begin, self.origins[last] + (end - self.starts[last]) * self.strides[last]


def decoded(text: str, most: int) -> Decoded | None:
    """The text with one layer of escapes taken off; `None` where it has none. More than `most` of them raise
    `TooManyEscapesError`."""
    if not any(mark in text for mark in _MARKS):
        return None
    parts: list[str] = []
    result = Decoded("")
    position = length = 0

    def add(part: str, origin: int, stride: int) -> None:
        nonlocal length
        if part:
            parts.append(part)
            result.starts.append(length)
            result.origins.append(origin)
            result.strides.append(stride)
            length += len(part)

    for match in _ESCAPE.finditer(text):
        part, stride = _decoded_escape(match)
        add(text[position : match.start()], position, 1)
        add(part, match.start(), stride)
        position = match.end()
        most -= 1
        if most < 0:
            raise TooManyEscapesError
    if not position:
        return None
    add(text[position:], position, 1)
    result.text = "".join(parts)
    result.starts.append(length)
    result.origins.append(len(text))
    result.strides.append(1)
    return result


def _decoded_escape(match: re.Match[str]) -> tuple[str, int]:
    """What the escapes stand for, and their stride; 0 where several characters of theirs make one, or one several."""
    kind, whole = match.lastgroup, match[0]
    if kind == "percent":
        text = bytes.fromhex(whole.replace("%", "")).decode(errors="replace")
        return text, 3 if len(text) * 3 == len(whole) else 0
    if kind == "json":
        text = bytes.fromhex(whole[2:].replace("\\u", "").replace("\\U", "")).decode("utf-16-be", errors="replace")
        return text, 6 if len(text) * 6 == len(whole) else 0
    if kind == "simple":
        return _SIMPLE.get(match["simple"], match["simple"]), 2
    if kind == "fold":
        return "", 0  # base64 is written in lines
    if kind == "entity":
        return _entity(whole), 0
    if kind == "decimal":
        return _character(int(match["decimal"])), len(whole)
    digits = match["hex"] if kind == "hex" else whole.strip("{}\\%uUxX")
    return _character(int(digits, 16)), len(whole)


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


def _entity(whole: str) -> str:
    from html.entities import html5  # few answers have any

    return html5.get(whole[1:], whole)
