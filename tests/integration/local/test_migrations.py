"""Migrations on the embedded Postgres."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from local.stack import migrations
from local.stack.postgres import PostgresServer


@pytest.fixture
def empty_url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    """A database of this test's own without any migration."""
    return postgres.createdb(request.node.name)


def test_apply_runs_each_file_once_in_order(empty_url: str, tmp_path: Path) -> None:
    """A second run applies only what is new, and the record looks like the Supabase CLI's."""
    (tmp_path / "20260101000000_first.sql").write_text("create table a (n int); insert into a values (1);")
    (tmp_path / "20260102000000_second.sql").write_text("update a set n = n + 1;")
    assert migrations.apply(empty_url, tmp_path) == ["20260101000000_first.sql", "20260102000000_second.sql"]
    (tmp_path / "20260103000000_third.sql").write_text("update a set n = n * 10;")
    assert migrations.apply(empty_url, tmp_path) == ["20260103000000_third.sql"]
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("select n from a").fetchone() == (20,)
        recorded = "select version, name from supabase_migrations.schema_migrations order by version limit 1"
        assert connection.execute(recorded).fetchone() == ("20260101000000", "first")


def test_apply_undoes_a_failing_file_and_names_the_line(empty_url: str, tmp_path: Path) -> None:
    """A migration is all or nothing, and its error says where it is."""
    (tmp_path / "20260101000000_broken.sql").write_text("create table a (n int);\n\nselect nothing from nowhere;")
    with pytest.raises(migrations.MigrationError, match=r"broken\.sql, line 3"):
        migrations.apply(empty_url, tmp_path)
    with psycopg.connect(empty_url) as connection:
        assert connection.execute("select to_regclass('a')").fetchone() == (None,)


def test_apply_refuses_an_edited_migration(empty_url: str, tmp_path: Path) -> None:
    """A file that differs from what was applied under its version is refused."""
    path = tmp_path / "20260101000000_first.sql"
    path.write_text("create table a (n int);")
    migrations.apply(empty_url, tmp_path)
    path.write_text("create table a (n bigint);")
    with pytest.raises(migrations.MigrationError, match="has changed since"):
        migrations.apply(empty_url, tmp_path)


def test_apply_provides_what_hosted_supabase_has(database_url: str) -> None:
    """The API's roles exist with their rights and limits, and the auth functions read the request's claims."""
    with psycopg.connect(database_url) as connection:
        roles = "select rolname, rolcanlogin, rolinherit, rolbypassrls from pg_roles where rolname = any(%s)"
        names = ["anon", "authenticated", "service_role", "authenticator"]
        assert set(connection.execute(roles, [names]).fetchall()) == {
            ("anon", False, False, False),
            ("authenticated", False, False, False),
            ("service_role", False, False, True),
            ("authenticator", True, False, False),
        }
        claims = '{"sub": "0198f000-0000-7000-8000-000000000001", "role": "authenticated"}'
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        seen = connection.execute("select auth.uid()::text, auth.role(), auth.jwt() ->> 'role'").fetchone()
        assert seen == ("0198f000-0000-7000-8000-000000000001", "authenticated", "authenticated")


def test_authenticator_can_only_become_an_api_role(database_url: str) -> None:
    """The gateway's login has no rights of its own and can switch to the three roles of the API."""
    with psycopg.connect(database_url.replace("postgres@", "authenticator@"), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select from public.workflows")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("set role postgres")
        connection.execute("set role service_role")
        connection.execute("select id from public.workflows")
