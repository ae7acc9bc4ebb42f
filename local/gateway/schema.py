"""The schema cache: tables, functions and roles' settings, read at the start and on a NOTIFY."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from shared.json_types import JsonObject

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
# Those of a function's own settings that must hold before its statement starts; Postgres applies the others itself.
_HOISTED = ("statement_timeout", "default_transaction_isolation")

Settings = tuple[tuple[str, str], ...]

_TABLES = """
select n.nspname, c.relname,
  coalesce(jsonb_agg(jsonb_build_object(
    'name', a.attname,
    'type', format_type(a.atttypid, a.atttypmod),
    'json', coalesce(nullif(t.typbasetype, 0), t.oid) in ('json'::regtype, 'jsonb'::regtype),
    'default', case
      when a.attidentity <> ''
        then format('nextval(%%L::regclass)', pg_get_serial_sequence(c.oid::regclass::text, a.attname))
      when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid)
    end
  ) order by a.attnum) filter (where a.attname is not null), '[]'),
  array(
    select k.attname::text
    from pg_constraint p cross join unnest(p.conkey) with ordinality as u (attnum, place)
    join pg_attribute k on k.attrelid = p.conrelid and k.attnum = u.attnum
    where p.conrelid = c.oid and p.contype = 'p' order by u.place
  )
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where n.nspname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
group by n.nspname, c.relname, c.oid
"""

_FUNCTIONS = """
select n.nspname, p.proname, p.proretset, p.provolatile, p.provariadic <> 0, p.pronargdefaults, p.proconfig,
  coalesce(p.proargnames, array[]::text[]), p.proargmodes::text[],
  array(select format_type(u.argument, null) from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]))
    with ordinality as u (argument, place) order by u.place),
  p.pronargs, format_type(p.prorettype, null),
  p.proargmodes && array['o', 'b', 't']::"char"[]
    or t.typtype = 'c' or coalesce((select b.typtype = 'c' from pg_type b where b.oid = t.typbasetype), false)
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_type t on t.oid = p.prorettype
where n.nspname = any(%s) and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
"""

_ROLE_SETTINGS = """
select r.rolname, s.setconfig
from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
order by s.setdatabase
"""
_USER_SETTINGS = "select name from pg_settings where context = 'user'"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `default` is an SQL expression; `json` tells whether it is json or jsonb."""

    name: str
    type: str
    json: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view that is exposed."""

    schema: str
    name: str
    columns: dict[str, Column]
    primary_key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input parameter; one without a name is only filled by a whole body."""

    name: str
    type: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is exposed. `composite`: its rows have named columns. `settings` hold for its transaction."""

    schema: str
    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    many: bool
    composite: bool
    read_only: bool
    settings: Settings


@dataclass(frozen=True, slots=True)
class Schema:
    """Everything exposed. Functions of one name are overloads."""

    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    functions: dict[tuple[str, str], tuple[Function, ...]] = field(default_factory=dict)
    roles: dict[bytes, Settings] = field(default_factory=dict)


async def load(connection: psycopg.AsyncConnection, schemas: list[str]) -> Schema:
    """The schema as it is now."""
    # Without a search path, format_type and pg_get_expr qualify every name.
    await connection.execute("set search_path = ''")
    tables = [_table(*row) for row in await _rows(connection, _TABLES, schemas)]
    functions: dict[tuple[str, str], tuple[Function, ...]] = {}
    for row in await _rows(connection, _FUNCTIONS, schemas):
        function = _function(row)
        key = (function.schema, function.name)
        functions[key] = (*functions.get(key, ()), function)
    # Only settings that an ordinary user may set can be applied by the gateway's role.
    allowed = {name for (name,) in await _rows(connection, _USER_SETTINGS)}
    roles: dict[bytes, dict[str, str]] = {}
    for role, settings in await _rows(connection, _ROLE_SETTINGS):
        pairs = _settings(settings)
        roles.setdefault(role.encode(), {}).update({k: v for k, v in pairs if k in allowed or "." in k})
    return Schema(
        tables={(table.schema, table.name): table for table in tables},
        functions=functions,
        roles={role: tuple(settings.items()) for role, settings in roles.items()},
    )


async def watch(url: str, schemas: list[str], use: Callable[[Schema], None], ready: asyncio.Event) -> None:
    """Hand the schema to `use`, now and after each `NOTIFY pgrst`; sets `ready` after the first. Runs until cancelled.

    A lost connection is opened again, and the schema read again, since a notification may have been missed.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                # Listening comes before the first read, so that no change between the two is missed.
                await connection.execute("listen pgrst")
                while True:
                    use(await load(connection, schemas))
                    ready.set()
                    async for _ in connection.notifies(stop_after=1):
                        pass
        except psycopg.OperationalError as error:
            if not ready.is_set():
                raise
            logger.warning("schema_cache_connection_lost", extra={"error": str(error)})
            await asyncio.sleep(_RETRY_SECONDS)


async def _rows(connection: psycopg.AsyncConnection, query: str, *parameters: object) -> list[Any]:
    cursor = await connection.execute(query.encode(), parameters or None)
    return await cursor.fetchall()


def _table(schema: str, name: str, columns: list[JsonObject], primary_key: list[str]) -> Table:
    return Table(schema, name, {column["name"]: Column(**column) for column in columns}, tuple(primary_key))


def _function(row: tuple[Any, ...]) -> Function:
    schema, name, many, volatility, variadic, defaults, config, names, modes, types, inputs, returns, composite = row
    modes = modes or ["i"] * len(types)
    places = [place for place, mode in enumerate(modes) if mode in "ibv"]
    parameters = tuple(
        Parameter(
            name=names[place] if names else "",
            type=types[place],
            required=number < inputs - defaults and modes[place] != "v",
            variadic=variadic and modes[place] == "v",
        )
        for number, place in enumerate(places)
    )
    settings = tuple((key, value) for key, value in _settings(config) if key in _HOISTED)
    return Function(schema, name, parameters, returns, many, composite, volatility != "v", settings)


def _settings(config: list[str] | None) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (item.partition("=") for item in config or [])]
