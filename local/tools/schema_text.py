"""The text of supabase/schema.sql: each table with all that belongs to it, then the functions by topic."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from local.tools.schema_comments import Comments
from local.tools.schema_dump import FUNCTIONS, Entry, in_one

_HEAD = """\
-- The whole schema, to be read: generated from the migrations by `python -m local schema`, which `make catalog` calls.
-- Do not edit it, and do not apply it: a change is a new file in supabase/migrations. Comments are the migrations', the
-- statements are those of a database that has them all. Rights stand below what they are about; a function that has
-- none may be called by everybody."""
# In this order stand the parts of a table; kinds that are not named here come between these and the rights.
_PARTS = ("TABLE", "COMMENT", "SEQUENCE", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "INDEX", "TRIGGER")
_RIGHTS = ("ROW SECURITY", "POLICY", "ACL")
# A function belongs to the first topic that has a beginning of its name.
_TOPICS: Mapping[str, tuple[str, ...]] = {
    "writing facts, and the rows that follow from them": ("append_", "write_", "hash_"),
    "reading facts": ("event_", "feed_", "payload_", "read_", "verify_"),
    "deliveries": ("hold_", "keep_", "record_", "webhook_"),
    "runs and schedules that are due": ("advance_", "cancel_", "claim_", "invariant_", "rest_", "wake_"),
    "others": ("",),
}
_PART_OF_TABLE = re.compile(r'^    (?:CONSTRAINT )?"?(\w+)')


def schema_text(entries: Sequence[Entry], comments: Comments) -> str:
    """The file's text: the same for the same schema and comments, whatever order the tables' entries have."""
    tables, topics = _tables(entries, list(comments.tables)), _topics(entries)
    blocks = [_HEAD, _contents("tables", tables), *(_contents(title, names) for title, names in topics.items())]
    # A function in SQL may call one that is written further below.
    blocks.append("SET check_function_bodies = false;")
    for name in tables:
        own = [entry for entry in entries if entry.owner == name]
        blocks += [_title(name or "others"), *_table(name, own, comments)]
    for title, names in topics.items():
        blocks.append(_title(f"functions: {title}"))
        for name in names:
            blocks += _function(name, [entry for entry in entries if entry.owner == name], comments)
    return "\n\n".join(blocks) + "\n"


def _tables(entries: Sequence[Entry], order: list[str]) -> list[str]:
    """All that is no function, tables in this order and then what else there is."""
    names = {entry.owner for entry in entries} - {entry.owner for entry in entries if entry.kind in FUNCTIONS}
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def _topics(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The functions of each topic that has any, by name; aggregates after the functions that they are made of."""
    kinds = {entry.owner: entry.kind for entry in entries if entry.kind in FUNCTIONS}
    topics: dict[str, list[str]] = {title: [] for title in _TOPICS}
    for name in sorted(kinds, key=lambda name: (kinds[name] == "AGGREGATE", name)):
        topics[next(title for title, beginnings in _TOPICS.items() if name.startswith(beginnings))].append(name)
    return {title: names for title, names in topics.items() if names}


def _contents(title: str, names: Iterable[str]) -> str:
    text = f"{title}: {', '.join(names)}"
    return textwrap.fill(text, 120, initial_indent="-- ", subsequent_indent="--   ", break_on_hyphens=False)


def _title(name: str) -> str:
    return f"-- {name} ".ljust(120, "-")


def _table(name: str, entries: Sequence[Entry], comments: Comments) -> Iterator[str]:
    for kind in (*_PARTS, *sorted({entry.kind for entry in entries} - {*_PARTS, *_RIGHTS}), *_RIGHTS):
        same = [entry for entry in entries if entry.kind == kind]
        if kind == "ACL":
            yield from _grants(same)
            continue
        for entry in sorted(same, key=lambda entry: (entry.name, entry.sql)):
            if kind == "TABLE":
                yield "\n".join([*comments.tables.get(name, ()), *_with_comments(name, entry.sql, comments)])
            else:
                yield "\n".join([*(comments.indexes.get(entry.name, ()) if kind == "INDEX" else ()), entry.sql])


def _with_comments(table: str, sql: str, comments: Comments) -> Iterator[str]:
    for line in sql.split("\n"):
        match = _PART_OF_TABLE.match(line)
        if match:
            yield from (f"    {comment}" for comment in comments.parts.get((table, match[1]), ()))
        yield line


def _function(name: str, entries: Sequence[Entry], comments: Comments) -> Iterator[str]:
    made = sorted((entry for entry in entries if entry.kind in FUNCTIONS), key=lambda entry: entry.name)
    yield "\n".join([*comments.functions.get(name, ()), *(entry.sql for entry in made)])
    yield from (entry.sql for entry in entries if entry.kind not in (*FUNCTIONS, "ACL"))
    yield from _grants([entry for entry in entries if entry.kind == "ACL"])


def _grants(entries: Sequence[Entry]) -> Iterator[str]:
    if entries:
        yield "\n".join(in_one([entry.sql for entry in entries]))
