"""What the roles of a Supabase project may do in the migrated schema: the history is only appended to, strangers have
nothing, and users' tokens only read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local.stack import migrations
from local.stack.postgres import PostgresServer
from shared.domain.actor import ROLES
from shared.http.operation import Operation
from shared.http.operations.api_keys import LIST_API_KEYS
from shared.http.operations.secrets import LIST_SECRETS
from shared.ids import new_id

# What a hosted project grants on whatever a migration makes.
HOSTED = (
    "alter default privileges in schema public grant all on tables to anon, authenticated, service_role",
    "alter default privileges in schema public grant all on functions to anon, authenticated, service_role",
    "alter default privileges in schema public grant all on sequences to anon, authenticated, service_role",
)
WRITES = ("insert", "update", "delete", "truncate")


@pytest.fixture(scope="module", params=["our own", "hosted"])
def database(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[psycopg.Connection[Any]]:
    """The migrated schema, as its owner sees it; also in a project that grants everything to everybody at first."""
    url = postgres.createdb(f"grants_{request.param.replace(' ', '_')}")
    migrations.apply(url, tmp_path_factory.mktemp("none"))  # only what the platform provides
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in HOSTED if request.param == "hosted" else ():
            connection.execute(statement)  # type: ignore[call-overload]
        migrations.apply(url)
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


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_function_is_for_users(database: psycopg.Connection[Any], role: str) -> None:
    """All of them are the service's, those that only compute as well."""
    functions = (
        "select oid::regprocedure::text, has_function_privilege(%s, oid, 'execute'),"
        " has_function_privilege('service_role', oid, 'execute')"
        " from pg_proc where pronamespace = 'public'::regnamespace"
    )
    rights = database.execute(functions, [role]).fetchall()
    assert len(rights) > 10
    assert [name for name, users, service in rights if users or not service] == []


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_sequence_is_for_users(database: psycopg.Connection[Any], role: str) -> None:
    """Neither to be read, which would tell how many events there are, nor to be moved."""
    sequences = (
        "select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace"
        " and case relkind when 'S' then has_sequence_privilege(%s, oid, 'usage,select,update') end"
    )
    assert database.execute(sequences, [role]).fetchall() == []


def _seen(database: psycopg.Connection[Any], table: str, tenant_id: str, role: str | None) -> int:
    """How many of the table's rows a user with this role sees."""
    metadata = {"tenant_id": tenant_id, **({"role": role} if role is not None else {})}
    with database.transaction():
        database.execute("set local role authenticated")
        claims = json.dumps({"role": "authenticated", "app_metadata": metadata})
        database.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        rows = database.execute(f"select id from public.{table}").fetchall()  # type: ignore[call-overload]
        return len(rows)


@pytest.mark.parametrize(("table", "listing"), [("api_keys", LIST_API_KEYS), ("secrets", LIST_SECRETS)])
def test_rows_are_seen_by_the_roles_of_the_api(
    database: psycopg.Connection[Any], table: str, listing: Operation
) -> None:
    """Through Supabase's REST API a role sees what the API shows it, by the operation's own declaration."""
    tenant_id, other = new_id(), new_id()
    insert = {
        "api_keys": "insert into api_keys (id, tenant_id, name, role, scopes, key_hash, status, stream_version)"
        " values (%s, %s, 'k', 'viewer', '{}', 'h', 'active', 1)",
        "secrets": "insert into secrets (id, tenant_id, name, status, stream_version)"
        " values (%s, %s, 's', 'active', 1)",
    }[table]
    database.execute(insert, [new_id(), tenant_id])  # type: ignore[call-overload]
    assert listing.role is not None
    for role in (None, *ROLES):
        allowed = ROLES.index(role or "viewer") >= ROLES.index(listing.role)
        assert _seen(database, table, tenant_id, role) == int(allowed), (table, role)
        assert _seen(database, table, other, role) == 0
