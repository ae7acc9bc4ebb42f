"""What the roles of a Supabase project may do in the migrated schema: the history is only appended to, strangers have
nothing, and users' tokens only read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

WRITES = ("insert", "update", "delete", "truncate")


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The migrated schema, as its owner sees it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def tables(database: psycopg.Connection[Any]) -> list[str]:
    """The names of all tables."""
    return [name for (name,) in database.execute("select tablename from pg_tables where schemaname = 'public'")]


def may(database: psycopg.Connection[Any], role: str, table: str, action: str) -> bool:
    """Whether a role has a right on a table, or on any of its columns."""
    asked = "select has_table_privilege(%s, %s, %s)"
    if action in ("select", "insert", "update"):
        asked += " or has_any_column_privilege(%s, %s, %s)"
    row = database.execute(asked, [role, f"public.{table}", action] * (asked.count("%s") // 3)).fetchone()
    assert row is not None
    return bool(row[0])


def test_history_is_only_appended_to(database: psycopg.Connection[Any]) -> None:
    """The service's own role cannot change or delete an event or a payload."""
    for table in ("event_store", "payloads"):
        assert may(database, "service_role", table, "insert"), table
        assert [action for action in WRITES[1:] if may(database, "service_role", table, action)] == [], table


def test_change_of_an_event_is_refused(database: psycopg.Connection[Any]) -> None:
    """By Postgres, whatever the statement."""
    for statement in (
        "update public.event_store set payload = '{}'",
        "delete from public.payloads",
        "truncate event_store",
    ):
        database.execute("set role service_role")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute(statement)  # type: ignore[call-overload]
        database.execute("reset role")


def test_nobody_without_a_token_has_any_right(database: psycopg.Connection[Any]) -> None:
    """`anon` may read no table and write none."""
    actions = ("select", *WRITES)
    assert [
        (table, action) for table in tables(database) for action in actions if may(database, "anon", table, action)
    ] == []


def test_users_tokens_write_nothing(database: psycopg.Connection[Any]) -> None:
    """`authenticated` reads at most; writing is the API's."""
    assert [
        (t, action) for t in tables(database) for action in WRITES if may(database, "authenticated", t, action)
    ] == []


def test_every_table_has_row_level_security(database: psycopg.Connection[Any]) -> None:
    """So a table without a policy shows nobody anything."""
    bare = (
        "select relname from pg_class"
        " where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity"
    )
    assert database.execute(bare).fetchall() == []


def test_no_function_lends_its_owners_rights(database: psycopg.Connection[Any]) -> None:
    """None is `security definer`."""
    functions = "select proname, prosecdef from pg_proc where pronamespace = 'public'::regnamespace"
    found = database.execute(functions).fetchall()
    assert len(found) > 10
    assert [name for name, lends in found if lends] == []
