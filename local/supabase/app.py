"""The gateway as an ASGI application: each request becomes one transaction, and its answer leaves after the commit."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg

from local.supabase import functions, sql, tables
from local.supabase.answer import Answer, Reply, Result, content_range, range_status
from local.supabase.auth import Authenticator, Caller
from local.supabase.errors import JSON_TYPE, GatewayError, PostgresError
from local.supabase.query import parse
from local.supabase.request import Request, preferences
from local.supabase.schema import Function, Schema, Settings, Table, watch
from local.supabase.session import Pool, Statement
from local.supabase.transaction import COMMIT, ROLLBACK, Frame, around

logger = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MOUNT = "/rest/v1"
_JWKS = "/auth/v1/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class Config:
    """What is served. `database_url` signs in as a role that may become every role a token names."""

    database_url: str
    schemas: list[str] = field(default_factory=lambda: ["public"])
    extra_search_path: list[str] = field(default_factory=lambda: ["public", "extensions"])
    max_rows: int | None = 1000
    pool_size: int = 10
    pre_request: str | None = None


class Gateway:
    """The ASGI application."""

    def __init__(self, config: Config, authenticator: Authenticator) -> None:
        """Connects at the lifespan's startup, to `config.database_url`."""
        self._config = config
        self._authenticator = authenticator
        self._pool = Pool(config.database_url, config.pool_size)
        self._schema = Schema()
        self._direct: dict[tuple[str, str], functions.DirectCall] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._profile = len(config.schemas) > 1
        self._search_paths = {
            schema: sql.names(list(dict.fromkeys([schema, *config.extra_search_path]))).encode()
            for schema in config.schemas
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or follow the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"unknown scope {scope['type']}")
        status, headers, body = await self._respond(await _read(scope, receive))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def start(self) -> None:
        """Read the schema and keep it current. Raises `psycopg.OperationalError` when the database is not there."""
        ready = asyncio.Event()
        config = self._config
        self._watcher = asyncio.create_task(watch(config.database_url, config.schemas, self._use, ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((self._watcher, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._watcher.done():
            self._watcher.result()

    async def stop(self) -> None:
        """Close all connections."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        self._pool.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except (psycopg.Error, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": f"The database cannot be read: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    def _use(self, schema: Schema) -> None:
        self._schema = schema
        found = ((path, functions.direct(overloads)) for path, overloads in schema.functions.items())
        self._direct = {path: call for path, call in found if call is not None}
        self._pool.renew()

    async def _respond(self, request: Request) -> Answer:
        anonymous = True
        try:
            if request.path == _JWKS:
                return _json(self._authenticator.jwks)
            headers = request.headers
            caller = self._authenticator.identify(headers.get(b"authorization"), headers.get(b"apikey"))
            anonymous = caller.anonymous
            if b"\0" in request.body or "\0" in request.path:
                raise GatewayError(400, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
            return await self._route(request, caller)
        except GatewayError as error:
            return error.answer()
        except PostgresError as error:
            return error.for_client(anonymous=anonymous).answer()
        except Exception:  # the edge: whatever went wrong, the client gets an answer in the usual form
            logger.exception("request_failed")
            return GatewayError(500, "PGRSTX00", "The gateway failed; its log says why.").answer()

    async def _route(self, request: Request, caller: Caller) -> Answer:
        first, _, rest = request.path[1:].partition("/")
        if first == "rpc" and rest and "/" not in rest:
            return await self._call(request, caller, rest)
        if not first:
            return await self._ping()
        if rest:
            raise GatewayError(404, "PGRST125", "Invalid path specified in request URL")
        return await self._table(request, caller, first)

    async def _ping(self) -> Answer:
        session = await self._pool.acquire()
        try:
            await session.run([(b"select 1", ())])
        finally:
            self._pool.release(session)
        return _json({"status": "ok", "schemas": self._config.schemas})

    async def _call(self, request: Request, caller: Caller, name: str) -> Answer:
        if request.method != "POST" and not request.reads:
            raise GatewayError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
        prefer = preferences(request.headers.get(b"prefer"))
        single = request.wants_object()
        schema = request.schema(self._config.schemas)
        if not request.reads:
            request.check_content_type()
            if not request.query and not single and "count" not in prefer:
                answer = await self._call_directly(request, caller, (schema, name), prefer)
                if answer is not None:
                    return answer
        query = parse(request.query, with_arguments=request.reads)
        shape = tables.Shape(rows=request.method != "HEAD", single=single, total="count" in prefer)
        limit = self._config.max_rows
        if request.reads:
            function, call = functions.by_query(self._schema, (schema, name), query, shape, limit)
        else:
            function, call = functions.by_body(self._schema, (schema, name), query, shape, limit, request.body)
        read_only = request.reads or function.read_only
        checked = single and function.many
        result = await self._run(call, request, caller, schema, read_only, function.settings, single=checked)
        status = range_status(query.offset, result.count, result.total)
        return self._called(function, result, schema, prefer, status=status, first=query.offset, single=single)

    async def _call_directly(
        self, request: Request, caller: Caller, path: tuple[str, str], prefer: dict[str, str]
    ) -> Answer | None:
        direct = self._direct.get(path)
        call = direct.statement(request.body) if direct is not None else None
        if direct is None or call is None:
            return None
        function = direct.function
        try:
            result = await self._run(call, request, caller, path[0], function.read_only, function.settings)
        except PostgresError as error:
            # Nothing was done: either the function itself raised this, or the body has another form.
            if error.code == "22P02" and not direct.describes(request.body):
                return None
            raise
        return self._called(function, result, path[0], prefer)

    def _called(
        self,
        function: Function,
        result: Result,
        schema: str,
        prefer: dict[str, str],
        *,
        status: int = 200,
        first: int = 0,
        single: bool = False,
    ) -> Answer:
        void = function.returns == "void"
        applied = [f"{key}={value}" for key, value in prefer.items() if key in ("count", "handling")]
        profile = schema if self._profile else None
        headers = [content_range(first, result.count, result.total if "count" in prefer else None)]
        return Reply(204 if void else status, result, profile, applied, headers, single, empty=void).answer()

    async def _table(self, request: Request, caller: Caller, name: str) -> Answer:
        schema = request.schema(self._config.schemas)
        single = request.wants_object()
        handler = {"GET": self._read, "HEAD": self._read, "POST": self._insert, "PATCH": self._update}.get(
            request.method, self._delete
        )
        if handler == self._delete and request.method != "DELETE":
            raise GatewayError(405, "PGRST117", f"Unsupported HTTP method: {request.method}")
        table = self._schema.tables.get((schema, name))
        if table is None:
            raise GatewayError(404, "PGRST205", f"Could not find the table '{schema}.{name}' in the schema cache")
        return await handler(request, caller, table, single, preferences(request.headers.get(b"prefer")))

    async def _read(
        self, request: Request, caller: Caller, table: Table, single: bool, prefer: dict[str, str]
    ) -> Answer:
        query = parse(request.query)
        shape = tables.Shape(rows=request.method == "GET", single=single, total="count" in prefer)
        statement = tables.read(table, query, shape, self._config.max_rows)
        result = await self._run(statement, request, caller, table.schema, read_only=True)
        if single:
            result.require_one()
        status = range_status(query.offset, result.count, result.total)
        location = f"/{table.name}{'?' if query.location else ''}{query.location}".encode("ascii", "replace")
        headers = [content_range(query.offset, result.count, result.total), (b"content-location", location)]
        return self._reply(status, result, table, prefer, ("count",), headers, single=single)

    async def _insert(
        self, request: Request, caller: Caller, table: Table, single: bool, prefer: dict[str, str]
    ) -> Answer:
        request.check_content_type()
        query = parse(request.query)
        resolution = prefer.get("resolution") if query.on_conflict or table.primary_key else None
        shape = _shape(prefer, single, resolution)
        statement = tables.insert(table, query, shape, request.body)
        result = await self._run(statement, request, caller, table.schema, read_only=False, single=single)
        status = 200 if shape.merge and not result.inserted else 201
        named = ("resolution", "missing", "return", "count") if resolution else ("missing", "return", "count")
        headers = [content_range(0, 0, result.total)]
        return self._reply(status, result, table, prefer, named, headers, single=single, empty=not shape.rows)

    async def _update(
        self, request: Request, caller: Caller, table: Table, single: bool, prefer: dict[str, str]
    ) -> Answer:
        request.check_content_type()
        query, shape = parse(request.query), _shape(prefer, single)
        statement = tables.update(table, query, shape, request.body)
        result = await self._run(statement, request, caller, table.schema, read_only=False, single=single)
        total = result.count if shape.total else None
        named, headers = ("missing", "return", "count"), [content_range(0, result.count, total)]
        status = 200 if shape.rows else 204
        return self._reply(status, result, table, prefer, named, headers, single=single, empty=not shape.rows)

    async def _delete(
        self, request: Request, caller: Caller, table: Table, single: bool, prefer: dict[str, str]
    ) -> Answer:
        query, shape = parse(request.query), _shape(prefer, single)
        statement = tables.delete(table, query, shape)
        result = await self._run(statement, request, caller, table.schema, read_only=False, single=single)
        named, headers = ("return", "count"), [content_range(0, 0, result.total)]
        status = 200 if shape.rows else 204
        return self._reply(status, result, table, prefer, named, headers, single=single, empty=not shape.rows)

    def _reply(
        self,
        status: int,
        result: Result,
        table: Table,
        prefer: dict[str, str],
        named: tuple[str, ...],
        headers: list[tuple[bytes, bytes]],
        *,
        single: bool,
        empty: bool = False,
    ) -> Answer:
        applied = [f"{key}={value}" for key, value in prefer.items() if key in (*named, "handling")]
        profile = table.schema if self._profile else None
        return Reply(status, result, profile, applied, headers, single, empty).answer()

    async def _run(
        self,
        statement: Statement,
        request: Request,
        caller: Caller,
        schema: str,
        read_only: bool,
        local: Settings = (),
        *,
        single: bool = False,
    ) -> Result:
        """The result of `statement`, committed. `single` commits only when it is exactly one row."""
        settings = (*self._schema.roles.get(caller.role, ()), *local)
        frame = Frame(self._search_paths[schema], read_only, settings, self._config.pre_request, held=single)
        statements = around(statement, caller, request, frame)
        session = await self._pool.acquire()
        try:
            try:
                result = Result.of(await session.run(statements))
                if single:
                    result.require_one()
                    await session.run([COMMIT])
            except (PostgresError, GatewayError):
                if session.usable and statements[0][0].startswith(b"begin"):
                    await session.run([ROLLBACK])
                raise
            return result
        finally:
            self._pool.release(session)


def _shape(prefer: dict[str, str], single: bool, resolution: str | None = None) -> tables.Shape:
    return tables.Shape(
        rows=prefer.get("return") == "representation",
        single=single,
        total="count" in prefer,
        merge=resolution == "merge-duplicates",
        ignore=resolution == "ignore-duplicates",
        defaults=prefer.get("missing") == "default",
    )


def _json(value: Any) -> Answer:
    body = json.dumps(value, separators=(",", ":")).encode()
    return 200, [JSON_TYPE, (b"content-length", b"%d" % len(body))], body


async def _read(scope: Scope, receive: Receive) -> Request:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    path: str = scope["path"]
    if path.startswith(_MOUNT) and path[len(_MOUNT) :][:1] in ("", "/"):
        path = path[len(_MOUNT) :] or "/"
    return Request(scope["method"], path, scope["query_string"], dict(scope["headers"]), body)
