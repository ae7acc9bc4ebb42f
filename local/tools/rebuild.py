"""`python -m local rebuild [--check]`: the read models again, out of the event store alone.

What no fact tells stays as it is: encrypted secrets, hashes of keys, and the hints beside them. Run it while no drain
is at work; `--check` may run at any time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from httpx import TransportError
from postgrest import APIError

from local.tools.read_models import TABLES, Key, ReadModels, Row, Table
from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject
from shared.repositories.payload import load
from shared.repositories.rows import in_service_form

if TYPE_CHECKING:
    from supabase import Client

PAGE = 1000
# What happens while a check reads shows as a difference at first; a real one is still there later.
CHECKS = 3
PAUSE_SECONDS = 1.0
SHOWN = 50


def main(argv: list[str]) -> int:
    """0 when the read models are (or were made) what the event store implies; 1 when they differ, with each place.

    2 when the database cannot be reached or refuses.
    """
    parser = argparse.ArgumentParser(prog="python -m local rebuild", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 and say where rows differ")
    parser.add_argument("--url", default=os.environ.get("SUPABASE_URL"), help="default: $SUPABASE_URL")
    parser.add_argument("--key", default=os.environ.get("SUPABASE_KEY"), help="the service key; default: $SUPABASE_KEY")
    arguments = parser.parse_args(argv)
    if not arguments.url or not arguments.key:
        parser.error("set SUPABASE_URL and SUPABASE_KEY, say by `. .local/env`, or give --url and --key")
    try:
        with connect(arguments.url, arguments.key) as client:
            if not arguments.check:
                print(f"rebuild: {rebuild(client)} rows written")
            lines = check(client)
    except TransportError as error:
        print(f"rebuild: {arguments.url} cannot be reached: {error}", file=sys.stderr)
        return 2
    except APIError as error:
        print(f"rebuild: {arguments.url} refused: {error.message}", file=sys.stderr)
        return 2
    for line in lines[:SHOWN]:
        print(line, file=sys.stderr)
    if len(lines) > SHOWN:
        print(f"… and {len(lines) - SHOWN} more", file=sys.stderr)
    print(f"rebuild: {len(lines)} differences" if lines else "rebuild: the read models match the event store")
    return 1 if lines else 0


@contextmanager
def connect(url: str, key: str) -> Iterator[Client]:
    """The supabase client for a service key; its connections end with the block."""
    import httpx
    from supabase import ClientOptions, create_client

    # The client's own HTTP client cannot be closed, and warns of its own options.
    with httpx.Client(base_url=f"{url}/rest/v1", timeout=60, trust_env=False) as http:
        yield create_client(url, key, ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http))


def rebuild(client: Client) -> int:
    """How many rows were written: every one that the event store implies."""
    models, count = ReadModels().take(history(client)), 0
    for table in TABLES:
        rows = list(models.rows(table).values())
        # A request's size is bounded, rows with large values included.
        for start in range(0, len(rows), PAGE // 2):
            batch = rows[start : start + PAGE // 2]
            client.table(table.name).upsert(batch, on_conflict=",".join(table.key)).execute()
        count += len(rows)
    client.rpc("keep_held", {"argument": {}}).execute()
    return count


def check(client: Client) -> list[str]:
    """Every difference between the read models and what the event store implies, one line each."""
    # Runs that are under way write between the two reads: a difference counts only if it stays.
    for attempt in range(CHECKS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        models = ReadModels().take(history(client))
        lines = [line for table in TABLES for line in differences(table, models.rows(table), stored(client, table))]
        if not lines:
            break
    return lines


def history(client: Client) -> Iterator[RecordedEvent]:
    """Every event of every tenant, in order."""
    after = 0
    while True:
        argument: JsonObject = {"argument": {"after": after, "limit": PAGE}}
        rows: Any = client.rpc("read_history", argument).execute().data
        for row in rows:
            event = RecordedEvent.from_row(row)
            yield replace(event, payload=load(event.payload))
        if len(rows) < PAGE:
            return
        after = rows[-1]["sequence_number"]


def stored(client: Client, table: Table) -> dict[Key, Row]:
    """The table's rows as they are, by key."""
    by_key: dict[Key, Row] = {}
    last: Row | None = None
    while True:
        query = client.table(table.name).select("*")
        if last is not None:
            query = _after(query, table.key, last)
        for column in table.key:
            query = query.order(column)
        rows: Any = query.limit(PAGE).execute().data
        by_key |= {table.key_of(row): in_service_form(row) for row in rows}
        if len(rows) < PAGE:
            return by_key
        last = rows[-1]


def _after(query: Any, key: tuple[str, ...], last: Row) -> Any:
    """The rows whose key comes after that of `last`. The first column's bound lets Postgres use the index."""
    first, *rest = key
    if not rest:
        return query.gt(first, last[first])
    # At most two columns: beyond the first one's value any second will do, and at it only a larger one.
    alternatives = (f"{column}.gt.{_quoted(last[column])}" for column in key)
    return query.gte(first, last[first]).or_(",".join(alternatives))


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def differences(table: Table, implied: dict[Key, Row], actual: dict[Key, Row]) -> Iterator[str]:
    """A line for each row that is missing, that no event explains, or that has another value in a column."""
    for key in sorted(implied.keys() | actual.keys(), key=str):
        name = f"{table.name} {'/'.join(str(part) for part in key)}"
        if key not in actual:
            yield f"{name}: the row is missing"
        elif key not in implied:
            yield f"{name}: no event explains this row"
        else:
            yield from _columns(table, name, implied[key], actual[key])


def _columns(table: Table, name: str, implied: Row, actual: Row) -> Iterator[str]:
    for column, value in implied.items():
        if column not in table.beside and actual[column] != value:
            yield f"{name}: {column} is {actual[column]!r:.200}, the events say {value!r:.200}"
    # Leases and ticks move without a fact; that there is one, while the run or the schedule lives, is what counts.
    for column in ("wake_at", "next_at"):
        if column in implied and (implied[column] is None) != (actual[column] is None):
            yield f"{name}: {column} is {actual[column]!r}, the events say {implied[column]!r}"
