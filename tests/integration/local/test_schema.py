"""supabase/schema.sql, which tells the whole schema."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from local.stack import migrations
from local.stack.postgres import PostgresServer
from local.tools import schema
from local.tools.schema_comments import Comments
from local.tools.schema_dump import DumpError, dump
from local.tools.schema_text import schema_text

CHANGES = (
    "alter table public.api_keys add column note text",
    "alter table public.api_keys alter column note set default 'none'",
    "alter table public.api_keys add check (note <> '')",
    "create index api_keys_note on public.api_keys (note)",
    "alter policy api_keys_of_tenant on public.api_keys using (true)",
    "alter table public.api_keys disable row level security",
    "grant select (note) on public.api_keys to authenticated",
    "comment on column public.api_keys.note is 'for people'",
    "create table public.rooms (id uuid primary key)",
    "create view public.notes as select note from public.api_keys",
    "create type public.size as enum ('small', 'large')",
    "create function public.enter() returns integer language sql as 'select 1'",
    "revoke execute on function public.enter() from public",
    "alter function public.enter() set enable_seqscan = off",
    "create function public.enter(n integer) returns integer language sql as 'select n'",
    "alter default privileges in schema public grant select on tables to anon",
)


def text_of(url: str) -> str:
    """What would be written for this database."""
    return schema_text(dump(url), Comments.of(migrations.FOLDER))


def test_check_fails_once_a_migration_changes_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is current, and one more migration makes it another, which is told with the difference."""
    assert schema.main(["--check"]) == 0, capsys.readouterr().err
    shutil.copytree(migrations.FOLDER, tmp_path / "migrations")
    (tmp_path / "migrations" / "99990101000000_note.sql").write_text("alter table public.api_keys add note text;")
    assert schema.main(["--check", "--migrations", str(tmp_path / "migrations")]) == 1
    printed = capsys.readouterr().err
    assert "+    note text" in printed
    assert "run `make catalog`" in printed


def test_a_migration_that_fails_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is compared with a schema that could not be made."""
    (tmp_path / "20260101000000_broken.sql").write_text("create table public.rooms (id nothing);")
    assert schema.main(["--check", "--migrations", str(tmp_path)]) == 1
    assert "20260101000000_broken.sql, line 1" in capsys.readouterr().err


def test_the_file_makes_the_schema_that_it_tells_of(postgres: PostgresServer, tmp_path: Path) -> None:
    """Nothing is lost between the database and the file: a database made from it is described by the same file."""
    url = postgres.createdb("from_schema_sql")
    migrations.apply(url, tmp_path)  # only what the platform provides
    text = schema.PATH.read_text(encoding="utf-8")
    with psycopg.connect(url) as connection:
        connection.execute(text.encode())
    assert text_of(url) == text


def test_every_kind_of_change_changes_the_text(database_url: str) -> None:
    """Columns, constraints, indexes, policies, rights, comments, types and functions are all told of."""
    texts = [text_of(database_url)]
    with psycopg.connect(database_url, autocommit=True) as connection:
        for change in CHANGES:
            connection.execute(change.encode())
            texts.append(text_of(database_url))
    assert [change for change, text, before in zip(CHANGES, texts[1:], texts, strict=False) if text == before] == []


def test_a_table_stands_with_what_belongs_to_it(database_url: str) -> None:
    """From a table's title to the next come its columns with their comments, constraints, indexes, policies, rights."""
    section = text_of(database_url).partition("-- executions ---")[2].partition("\n\n-- api_keys ---")[0]
    told = [
        "-- Executions as they are now; what happened in them is in the event store.\nCREATE TABLE public.executions (",
        "    -- No foreign key: checking it would lock the one hot workflow's row in every drain's transaction.\n"
        "    workflow_id uuid NOT NULL,",
        "    -- A run is finished or it will be looked at again: no third state exists.\n    CONSTRAINT",
        "PRIMARY KEY (id);",
        "CREATE INDEX executions_children ON",
        "ENABLE ROW LEVEL SECURITY;",
        "CREATE POLICY executions_of_tenant",
        "GRANT SELECT,INSERT,UPDATE ON TABLE public.executions TO service_role;",
    ]
    places = [section.find(part) for part in told]
    assert places == sorted(places)
    assert -1 not in places


def test_a_database_that_is_out_of_reach_is_an_error(postgres: PostgresServer) -> None:
    """What pg_dump says is raised: an empty text would be taken for an empty schema."""
    with pytest.raises(DumpError, match="does not exist"):
        dump(postgres.url("nowhere"))
