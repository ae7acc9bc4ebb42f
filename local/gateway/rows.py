"""Requests to `/<table>`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from local.gateway import tables
from local.gateway.answer import Answer, Reply, Result, content_range, range_status
from local.gateway.auth import Caller
from local.gateway.database import Database
from local.gateway.errors import GatewayError, Headers
from local.gateway.query import parse
from local.gateway.request import Request, preferences
from local.gateway.schema import Table
from local.gateway.session import Statement


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request for a table's rows, and its preferences."""

    database: Database
    request: Request
    caller: Caller
    table: Table
    prefer: dict[str, str]
    single: bool

    async def run(self, statement: Statement, *, read_only: bool = False) -> Result:
        """The committed result."""
        # A change of a single row is committed only if it was exactly one; a read has nothing to undo.
        held = self.single and not read_only
        return await self.database.run(
            statement, self.request, self.caller, self.table.schema, read_only=read_only, single=held
        )

    def shape(self, resolution: str | None = None) -> tables.Shape:
        """The form of the response to a change."""
        return tables.Shape(
            rows=self.prefer.get("return") == "representation",
            single=self.single,
            total="count" in self.prefer,
            merge=resolution == "merge-duplicates",
            ignore=resolution == "ignore-duplicates",
            defaults=self.prefer.get("missing") == "default",
        )

    def reply(
        self, status: int, result: Result, headers: Headers, applied: tuple[str, ...], *, empty: bool = False
    ) -> Answer:
        """The finished answer; `applied` are the preferences to confirm."""
        confirmed = [f"{key}={value}" for key, value in self.prefer.items() if key in (*applied, "handling")]
        profile = self.database.profile(self.table.schema)
        return Reply(status, result, profile, confirmed, headers, self.single, empty).answer()


async def answer(database: Database, request: Request, caller: Caller, name: str) -> Answer:
    """The answer to a read (GET, HEAD), insert or upsert (POST), update (PATCH) or DELETE."""
    handler = _HANDLERS.get(request.method)
    if handler is None:
        raise GatewayError(405, "PGRST117", f"Unsupported HTTP method: {request.method}")
    schema, single = request.schema(database.config.schemas), request.wants_object()
    table = database.schema.tables.get((schema, name))
    if table is None:
        raise GatewayError(404, "PGRST205", f"Could not find the table '{schema}.{name}' in the schema cache")
    prefer = preferences(request.headers.get(b"prefer"))
    return await handler(_Exchange(database, request, caller, table, prefer, single))


async def _read(exchange: _Exchange) -> Answer:
    exchange.request.refuse_range()
    query = parse(exchange.request.query)
    shape = tables.Shape(
        rows=exchange.request.method == "GET", single=exchange.single, total="count" in exchange.prefer
    )
    result = await exchange.run(
        tables.read(exchange.table, query, shape, exchange.database.config.max_rows), read_only=True
    )
    if exchange.single:
        result.require_one()
    status = range_status(query.offset, result.count, result.total)
    location = f"/{exchange.table.name}{'?' if query.location else ''}{query.location}".encode("ascii", "replace")
    headers = [content_range(query.offset, result.count, result.total), (b"content-location", location)]
    return exchange.reply(status, result, headers, ("count",))


async def _insert(exchange: _Exchange) -> Answer:
    exchange.request.check_content_type()
    query = parse(exchange.request.query)
    resolution = exchange.prefer.get("resolution") if query.on_conflict or exchange.table.primary_key else None
    shape = exchange.shape(resolution)
    result = await exchange.run(tables.insert(exchange.table, query, shape, exchange.request.body))
    status = 200 if shape.merge and not result.inserted else 201
    applied = ("resolution", "missing", "return", "count") if resolution else ("missing", "return", "count")
    return exchange.reply(status, result, [content_range(0, 0, result.total)], applied, empty=not shape.rows)


async def _update(exchange: _Exchange) -> Answer:
    exchange.request.check_content_type()
    query, shape = parse(exchange.request.query), exchange.shape()
    result = await exchange.run(tables.update(exchange.table, query, shape, exchange.request.body))
    headers = [content_range(0, result.count, result.count if shape.total else None)]
    status = 200 if shape.rows else 204
    return exchange.reply(status, result, headers, ("missing", "return", "count"), empty=not shape.rows)


async def _delete(exchange: _Exchange) -> Answer:
    query, shape = parse(exchange.request.query), exchange.shape()
    result = await exchange.run(tables.delete(exchange.table, query, shape))
    headers = [content_range(0, 0, result.total)]
    return exchange.reply(200 if shape.rows else 204, result, headers, ("return", "count"), empty=not shape.rows)


_HANDLERS: dict[str, Callable[[_Exchange], Awaitable[Answer]]] = {
    "GET": _read,
    "HEAD": _read,
    "POST": _insert,
    "PATCH": _update,
    "DELETE": _delete,
}
