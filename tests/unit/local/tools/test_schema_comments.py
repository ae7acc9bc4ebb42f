"""What the migrations' comments are about."""

from __future__ import annotations

from pathlib import Path

from local.tools.schema_comments import Comments

FIRST = """\
-- What the file begins with.

create table public.rooms (
  id uuid primary key,
  -- In words,
  -- and whole.
  "timestamp" timestamptz not null,
  constraint rooms_named check (id is not null)
);

-- In order.
create unique index rooms_first on public.rooms (id);
create index rooms_second on public.rooms (id);

-- argument → answer, as it was.
create function public.enter(argument jsonb) returns jsonb
language sql as $$
  -- Not about anything outside.
  select '{}'::jsonb
$$;
"""
SECOND = """\
-- What this change is for.

alter table public.rooms add column size integer;
-- Unset in older rows.
alter table public.rooms add column floor integer;

-- argument → answer, as it is.
drop function public.enter(jsonb);
create function public.enter(argument jsonb, more jsonb) returns jsonb
language sql as $$ select '{}'::jsonb $$;
"""


def test_comments_belong_to_what_stands_below_them(tmp_path: Path) -> None:
    """Each is found by the name of what it is about, the last one where there are several, and none by another name."""
    (tmp_path / "2_second.sql").write_text(SECOND)
    (tmp_path / "1_first.sql").write_text(FIRST)
    comments = Comments.of(tmp_path)
    assert comments.tables == {"rooms": ["-- What the file begins with."]}
    assert comments.parts == {
        ("rooms", "timestamp"): ["-- In words,", "-- and whole."],
        ("rooms", "floor"): ["-- Unset in older rows."],
    }
    assert comments.indexes == {"rooms_first": ["-- In order."]}
    assert comments.functions == {"enter": ["-- argument → answer, as it is."]}
