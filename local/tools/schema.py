"""`python -m local schema [--check]`: writes supabase/schema.sql, the whole schema in one file for people to read."""

from __future__ import annotations

import argparse
import difflib
import sys
import tempfile
from pathlib import Path

from local.stack import migrations
from local.stack.postgres import PostgresServer
from local.stack.process import ServerError
from local.tools.schema_comments import Comments
from local.tools.schema_dump import DumpError, dump
from local.tools.schema_text import schema_text

PATH = migrations.FOLDER.parent / "schema.sql"
_SHOWN_LINES = 20


def main(arguments: list[str] | None = None) -> int:
    """0, or with `--check` 1 when the file is not what would be written. Takes about two seconds."""
    parser = argparse.ArgumentParser(prog="python -m local schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is not current")
    parser.add_argument("--migrations", type=Path, default=migrations.FOLDER, help="another folder of migrations")
    options = parser.parse_args(arguments)
    try:
        text = _text(options.migrations)
    except (DumpError, migrations.MigrationError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    written = PATH.read_text(encoding="utf-8") if PATH.exists() else ""
    if not options.check:
        PATH.write_text(text, encoding="utf-8")
    elif written != text:
        changes = difflib.unified_diff(written.splitlines(), text.splitlines(), "written", "made now", "", "", 1, "")
        print("\n".join(list(changes)[:_SHOWN_LINES]), file=sys.stderr)
        print(f"supabase/{PATH.name} is not what the migrations make: run `make catalog`.", file=sys.stderr)
        return 1
    return 0


def _text(folder: Path) -> str:
    with (
        tempfile.TemporaryDirectory(prefix="schema-") as place,
        PostgresServer(Path(place) / "data", durable=False) as server,
    ):
        migrations.apply(server.url(), folder)
        return schema_text(dump(server.url()), Comments.of(folder))


if __name__ == "__main__":
    sys.exit(main())
