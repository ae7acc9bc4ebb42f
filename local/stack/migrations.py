"""Applies `supabase/migrations` to a plain Postgres, recording them as the Supabase CLI does."""

from __future__ import annotations

from pathlib import Path

import psycopg

FOLDER = Path(__file__).parents[2] / "supabase" / "migrations"
_PLATFORM = Path(__file__).parent / "platform.sql"
_LOCK = 7_245_001  # any number that nothing else in these databases locks


class MigrationError(RuntimeError):
    """A migration failed, or was edited after it had been applied."""


def apply(database_url: str, folder: Path = FOLDER) -> list[str]:
    """The names of the files that were applied now, in order; those recorded as applied are left out.

    Before them comes what hosted Supabase provides: roles, schemas and the `auth` functions. Each file is one
    transaction. Raises `MigrationError` when one fails or when a recorded one has been edited since.
    """
    applied = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Two processes that start over one database apply the migrations one after the other.
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        connection.execute(_PLATFORM.read_bytes())
        rows = connection.execute("select version, statements from supabase_migrations.schema_migrations").fetchall()
        recorded: dict[str, list[str]] = dict(rows)
        for path in sorted(folder.glob("*.sql")):
            version, _, name = path.stem.partition("_")
            text = path.read_text()
            if version not in recorded:
                _apply_one(connection, version, name, text)
                applied.append(path.name)
            elif recorded[version] != [text]:
                raise MigrationError(
                    f"{path.name} has changed since it was applied. Applied migrations are not edited: add a new one, "
                    "or delete the database (`make clean` for the local stack)."
                )
    return applied


def _apply_one(connection: psycopg.Connection[tuple[object, ...]], version: str, name: str, text: str) -> None:
    try:
        with connection.transaction():
            # As bytes: psycopg reads a `str` statement as a template and would want literal text only.
            connection.execute(text.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
                [version, name, [text]],
            )
    except psycopg.Error as error:
        line = text[: int(error.diag.statement_position or 1)].count("\n") + 1
        raise MigrationError(f"Migration {version}_{name}.sql, line {line}: {error}") from error
