"""The migrations' comments on tables, columns, constraints, indexes and functions, which a database does not keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TABLE = re.compile(r"create table public\.(\w+) \(")
_COLUMN = re.compile(r"alter table public\.(\w+) add column (\w+)")
_PART = re.compile(r'  (?:constraint )?"?(\w+)')
_INDEX = re.compile(r"create (?:unique )?index (\w+)")
_FUNCTION = re.compile(r"create (?:or replace )?(?:function|aggregate|procedure) public\.(\w+)")


@dataclass(frozen=True, slots=True)
class Comments:
    """Lines of comment, each with its `--` and no indent; where several migrations have one on a thing, the last.

    `tables` has every table, in the order in which the migrations make them; `parts` are columns and constraints, by
    table and name.
    """

    tables: dict[str, list[str]] = field(default_factory=dict)
    parts: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    indexes: dict[str, list[str]] = field(default_factory=dict)
    functions: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Comments:
        """Those of a folder of migrations."""
        comments = cls()
        for path in sorted(folder.glob("*.sql")):
            comments._read(path.read_text(encoding="utf-8"))
        return comments

    def _read(self, text: str) -> None:
        table = ""
        for comment, is_apart, line in _commented(text):
            if made := _TABLE.match(line):
                # The comment that a file begins with is about its first table, an empty line below it or not.
                table = made[1]
                self.tables[table] = comment
            elif line.startswith(")"):
                table = ""
            elif not comment or is_apart:
                continue
            elif table and (part := _PART.match(line)):
                self.parts[table, part[1]] = comment
            elif column := _COLUMN.match(line):
                self.parts[column[1], column[2]] = comment
            elif index := _INDEX.match(line):
                self.indexes[index[1]] = comment
            elif function := _FUNCTION.match(line):
                self.functions[function[1]] = comment


def _commented(text: str) -> Iterator[tuple[list[str], bool, str]]:
    """Each line that is neither empty nor comment, with the comment above it, and whether empty lines are between."""
    comment: list[str] = []
    is_apart = False
    for line in text.splitlines():
        if line.lstrip().startswith("--"):
            comment = [] if is_apart else comment
            comment.append(line.strip())
            is_apart = False
        elif not line.strip():
            is_apart = True
        # A function's earlier form is dropped between the comment and the new one.
        elif not line.startswith("drop function"):
            yield comment, is_apart, line
            comment, is_apart = [], False
