"""The statements for tables and views: read, insert, upsert, update and delete.

Each gives one row: the body, the number of rows, the total where it was asked for, what the database wants of the
answer (`sql.RESPONSE`) and, for an upsert, how many rows are new.
"""

# ruff: noqa: S608  # every name is quoted by `sql.name`, every value is a parameter
from __future__ import annotations

from dataclasses import dataclass

from local.gateway import sql
from local.gateway.errors import GatewayError, invalid_body
from local.gateway.query import Query
from local.gateway.request import parse_json
from local.gateway.schema import Table
from local.gateway.session import Statement

# An insert counts its rows up and its conflicts down, since xmax = 0 would need a right to select.
_COUNTED = (
    "set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) {} 1)::text, "
    "true) <> ''"
)
_INSERTED = "nullif(current_setting('pgrst.inserted', true), '')"
# The body of a request that touches no row.
NOTHING: Statement = (f"select '[]', 0, null, {sql.RESPONSE}, '0'".encode(), ())


@dataclass(frozen=True, slots=True)
class Shape:
    """What the response contains. `rows`: the rows themselves; `single`: one row alone; `total`: the exact count."""

    rows: bool = True
    single: bool = False
    total: bool = False
    merge: bool = False
    ignore: bool = False
    defaults: bool = False

    def body(self, row: str = "_row", order: str = "") -> str:
        """The SQL expression of the body, over the rows named `row`."""
        if not self.rows:
            return "''"
        if self.single:
            return f"(json_agg({row}{order}) -> 0)::text"
        return f"coalesce(json_agg({row}{order})::text, '[]')"


def read(table: Table, query: Query, shape: Shape, max_rows: int | None) -> Statement:
    """The rows of a table."""
    source = _target(table)
    clauses = sql.Clauses(source, table.columns)
    where = clauses.where(query.filters)
    total = f"(select count(*) from (select from {source}{where}) _all)" if shape.total else "null"
    rows = f"select {clauses.select(query.select)} from {source}{where}{clauses.order(query)}"
    rows += clauses.page(query, max_rows)
    text = f"select {shape.body()}, count(*), {total}, {sql.RESPONSE}, null from ({rows}) _row"
    return text.encode(), clauses.parameters


def insert(table: Table, query: Query, shape: Shape, body: bytes) -> Statement:
    """New rows from a JSON object or an array of them; on a conflict they replace the old ones or are left out."""
    columns, many = _columns(table, query, body)
    if many == 0:
        return NOTHING
    clauses = sql.Clauses(_target(table), table.columns)
    rows = _rows(table, columns, clauses, body, many is not None, shape.defaults)
    names = f" ({sql.names(columns)})" if columns else ""
    values = ", ".join(_value(table, column, shape.defaults) for column in columns)
    conflict = query.on_conflict or table.primary_key
    where = on_conflict = ""
    if conflict and (shape.merge or shape.ignore):
        where = f" where {_COUNTED.format('+')}"
        action = "nothing"
        if shape.merge and columns:
            updates = ", ".join(f"{sql.name(column)} = excluded.{sql.name(column)}" for column in columns)
            action = f"update set {updates} where {_COUNTED.format('-')}"
        on_conflict = f" on conflict ({sql.names(conflict)}) do {action}"
    text = f"insert into {_target(table)}{names} select {values} from {rows}{where}{on_conflict}"
    return _changing(query, shape, clauses, text)


def update(table: Table, query: Query, shape: Shape, body: bytes) -> Statement:
    """Changed rows, by a JSON object. Raises `GatewayError` without a filter."""
    columns, many = _columns(table, query, body)
    if not columns or many == 0:
        return NOTHING
    _refuse_unfiltered("UPDATE", query)
    clauses = sql.Clauses(_target(table), table.columns)
    rows = _rows(table, columns, clauses, body, many is not None, shape.defaults)
    updates = ", ".join(f"{sql.name(column)} = _new.{sql.name(column)}" for column in columns)
    values = ", ".join(f"{_value(table, column, shape.defaults)} as {sql.name(column)}" for column in columns)
    text = f"update {_target(table)} set {updates} from (select {values} from {rows} limit 1) _new"
    return _changing(query, shape, clauses, text + clauses.where(query.filters))


def delete(table: Table, query: Query, shape: Shape) -> Statement:
    """Deleted rows. Raises `GatewayError` without a filter."""
    _refuse_unfiltered("DELETE", query)
    clauses = sql.Clauses(_target(table), table.columns)
    return _changing(query, shape, clauses, f"delete from {_target(table)}{clauses.where(query.filters)}")


def _target(table: Table) -> str:
    return f"{sql.name(table.schema)}.{sql.name(table.name)}"


def _changing(query: Query, shape: Shape, clauses: sql.Clauses, text: str) -> Statement:
    order, row = "", "_row"
    if not shape.rows:
        text += " returning 1"
    elif not query.order:
        text += f" returning {clauses.select(query.select)}"
    else:
        terms = [f"{clauses.field(term.field)} as _{number}" for number, term in enumerate(query.order)]
        row_text = f"(select row_to_json(_item) from (select {clauses.select(query.select)}) _item) as _body"
        text += f" returning {', '.join((row_text, *terms))}"
        order = " order by " + ", ".join(f"_row._{n}{term.suffix}" for n, term in enumerate(query.order))
        row = "_row._body"
    total = "count(*)" if shape.total else "null"
    answer = f"select {shape.body(row, order)}, count(*), {total}, {sql.RESPONSE}, {_INSERTED} from _row"
    return f"with _row as ({text}) {answer}".encode(), clauses.parameters


def _rows(table: Table, columns: tuple[str, ...], clauses: sql.Clauses, body: bytes, many: bool, defaults: bool) -> str:
    """The body's objects as rows named `_body`, and, where absent keys need it, each as jsonb named `_json.value`."""
    if not columns and not many:
        return "(select) _body"
    value = clauses.bind(body)
    if not columns:
        return f"json_array_elements({value}::json)"
    fields = ", ".join(f"{sql.name(column)} {table.columns[column].type}" for column in columns)
    if not defaults:
        return f"json_to_record{'set' if many else ''}({value}::json) as _body({fields})"
    objects = f"jsonb_array_elements({value}::jsonb)" if many else f"(select {value}::jsonb)"
    return f"{objects} as _json(value), jsonb_to_record(_json.value) as _body({fields})"


def _value(table: Table, column: str, defaults: bool) -> str:
    default = table.columns[column].default
    value = f"_body.{sql.name(column)}"
    if not defaults or default is None:
        return value
    return f"case when _json.value ? {sql.literal(column)} then {value} else {default} end"


def _columns(table: Table, query: Query, body: bytes) -> tuple[tuple[str, ...], int | None]:
    """The columns that the body sets, and its length when it is an array. Raises `GatewayError`."""
    content = parse_json(body)
    objects = content if isinstance(content, list) else [content]
    if not isinstance(content, list | dict):
        raise invalid_body()
    columns = query.columns
    if columns is None:
        keys = objects[0].keys() if objects and isinstance(objects[0], dict) else {}.keys()
        if not all(isinstance(item, dict) and item.keys() == keys for item in objects):
            raise GatewayError(400, "PGRST102", "All object keys must match")
        columns = tuple(keys)
    for column in columns:
        if column not in table.columns:
            message = f"Could not find the '{column}' column of '{table.name}' in the schema cache"
            raise GatewayError(400, "PGRST204", message)
    return columns, len(content) if isinstance(content, list) else None


def _refuse_unfiltered(verb: str, query: Query) -> None:
    if not query.filters:
        raise GatewayError(400, "21000", f"{verb} requires a WHERE clause")
