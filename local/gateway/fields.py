"""The pieces that PostgREST's query language is made of: a scanner, names, JSON paths and quoted values."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Letters, digits, '_', '$', spaces, and single dashes between them that start no arrow.
_NAME = re.compile(r"[\w$ ]+(?:-(?!>)[\w$ ]+)*")
_INDEX = re.compile(r"-?\d+(?=$|[-:,.)\s])")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_CAST = re.compile(r"::([A-Za-z_][\w ]*(?:\(\d+(?:,\d+)?\))?(?:\[\])?)")


class ScanError(ValueError):
    """The text does not follow the grammar."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column and the JSON path into it: each step is its arrow and a key (text) or an index (int)."""

    name: str
    path: tuple[tuple[str, str | int], ...] = ()

    @property
    def label(self) -> str:
        """The name under which a selected field is answered: the last key of its path."""
        keys = [key for _, key in self.path if isinstance(key, str)]
        return keys[-1] if keys else self.name


class Scanner:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        """Starts at the beginning of `text`."""
        self.text = text
        self.at = 0

    @property
    def done(self) -> bool:
        """Whether all was read."""
        return self.at >= len(self.text)

    def take(self, wanted: str) -> bool:
        """Whether `wanted` comes next; reads it then."""
        if self.text.startswith(wanted, self.at):
            self.at += len(wanted)
            return True
        return False

    def expect(self, wanted: str) -> None:
        """Read `wanted`. Raises `ScanError` when something else comes."""
        if not self.take(wanted):
            raise ScanError(f"expected {wanted!r} at {self.at}")

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match of `pattern` that starts here; reads it."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def spaces(self) -> None:
        """Read white space."""
        while self.take(" "):
            pass

    def quoted(self) -> str | None:
        """The text of a double-quoted string, in which a backslash keeps the next character; None without one."""
        match = self.match(_QUOTED)
        return None if match is None else re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)

    def name(self) -> str:
        """A name, quoted or not."""
        self.spaces()
        quoted = self.quoted()
        if quoted is not None:
            self.spaces()
            return quoted
        match = self.match(_NAME)
        if match is None or not match[0].strip():
            raise ScanError(f"expected a name at {self.at}")
        return match[0].strip()

    def field(self) -> Field:
        """A name and its JSON path."""
        name = self.name()
        path: list[tuple[str, str | int]] = []
        while arrow := next((arrow for arrow in ("->>", "->") if self.take(arrow)), None):
            index = self.match(_INDEX)
            path.append((arrow, int(index[0]) if index is not None else self.name()))
        return Field(name, tuple(path))

    def cast(self) -> str | None:
        """The type of a `::type`; None without one."""
        match = self.match(_CAST)
        return None if match is None else match[1]

    def value(self) -> str:
        """A value in a logic tree: an element, or an array in braces, which may hold commas."""
        return self._braces() if self.text.startswith("{", self.at) else self.element()

    def element(self) -> str:
        """An element of a list: quoted, or all up to a comma or the closing parenthesis."""
        start = self.at
        quoted = self.quoted()
        if quoted is not None and (self.done or self.text[self.at] in ",) "):
            return quoted
        self.at = start
        while not self.done and self.text[self.at] not in ",)":
            self.at += 1
        return self.text[start : self.at]

    def _braces(self) -> str:
        start, depth = self.at, 0
        while not self.done:
            if self.match(_QUOTED):
                continue
            depth += {"{": 1, "}": -1}.get(self.text[self.at], 0)
            self.at += 1
            if depth == 0:
                return self.text[start : self.at]
        raise ScanError("the braces are not closed")


def names(text: str) -> tuple[str, ...]:
    """The names of a comma-separated list. Raises `ScanError`."""
    scanner = Scanner(text)
    columns = [scanner.name()]
    while scanner.take(","):
        columns.append(scanner.name())
    if not scanner.done:
        raise ScanError(f"unexpected {text[scanner.at :]!r}")
    return tuple(columns)
