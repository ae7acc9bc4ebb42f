"""The entries of a database's schema `public`, as pg_dump writes them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.stack.postgres import binary

FUNCTIONS = frozenset(("FUNCTION", "AGGREGATE", "PROCEDURE"))
_HEAD = re.compile(r"^--\n-- Name: (.+); Type: ([A-Z ]+); Schema: (\S+); Owner: .*\n--\n", re.M)
_END = "\n--\n-- PostgreSQL database dump complete"
# Set for the tables that follow, and thus written at the end of the entry before the first of them.
_SETTING = re.compile(r"^SET default_\w+ = .*;$", re.M)
_COLUMN_GRANT = re.compile(r"GRANT ([A-Z]+)\((\w+)\) ON (.+);")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the dump: `owner` is the table, view or function that it is about, empty where it is about none."""

    kind: str
    name: str
    owner: str
    sql: str


class DumpError(RuntimeError):
    """pg_dump failed, or its output has an unknown form."""


def dump(database_url: str) -> list[Entry]:
    """The entries of the schema `public` in pg_dump's order, without owners and versions. Raises `DumpError`."""
    command: list[str | Path] = [binary("pg_dump"), "--schema-only", "--no-owner", "--schema=public", database_url]
    # A setting of this shell's for Postgres is not meant for this server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, env=environment)
    if done.returncode != 0:
        raise DumpError(done.stderr.strip())
    entries = list(_entries(done.stdout))
    if not entries:
        raise DumpError("pg_dump's output has none of the lines `-- Name: …; Type: …` that its entries begin with.")
    return entries


def _entries(text: str) -> Iterator[Entry]:
    parts = _HEAD.split(text.partition(_END)[0])[1:]
    tables: dict[str, str] = {}
    for name, kind, schema, body in zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True):
        # The schema itself, with its rights, is the platform's.
        if schema != "public":
            continue
        sql = _SETTING.sub("", body).strip()
        match = re.search(r'\bpublic\."?(\w+)', sql)
        owner = match[1] if match else ""
        if kind == "SEQUENCE":
            tables[name] = owner
        yield Entry(kind, name, tables.get(owner, owner), sql)


def in_one(grants: list[str]) -> list[str]:
    """Statements with those in one that grant the same on several columns of a table."""
    lines = [line for statement in grants for line in statement.split("\n")]
    columns: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if grant := _COLUMN_GRANT.fullmatch(line):
            columns.setdefault((grant[1], grant[3]), []).append(grant[2])
    whole = [line for line in lines if not _COLUMN_GRANT.fullmatch(line)]
    return whole + [f"GRANT {right} ({', '.join(names)}) ON {rest};" for (right, rest), names in columns.items()]
