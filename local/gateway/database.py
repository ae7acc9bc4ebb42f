"""The database behind the gateway: its schema, kept current, and transactions in the caller's name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from local.gateway import functions, sql
from local.gateway.answer import Result
from local.gateway.auth import Caller
from local.gateway.errors import GatewayError, PostgresError
from local.gateway.request import Request
from local.gateway.schema import Schema, Settings, watch
from local.gateway.session import Pool, Statement
from local.gateway.transaction import COMMIT, ROLLBACK, Frame, around


@dataclass(frozen=True, slots=True)
class Config:
    """The gateway's configuration. `database_url` signs in as a role that may become every role a token names."""

    database_url: str
    schemas: list[str] = field(default_factory=lambda: ["public"])
    extra_search_path: list[str] = field(default_factory=lambda: ["public", "extensions"])
    max_rows: int | None = 1000
    pool_size: int = 10
    pre_request: str | None = None


class Database:
    """Connections, schema and settings of one database; it belongs to one event loop."""

    def __init__(self, config: Config) -> None:
        """Connects at `start`."""
        self.config = config
        self.schema = Schema()
        self.direct: dict[tuple[str, str], functions.DirectCall] = {}
        self._pool = Pool(config.database_url, config.pool_size)
        self._watcher: asyncio.Task[None] | None = None
        self._search_paths = {
            schema: sql.names(list(dict.fromkeys([schema, *config.extra_search_path]))).encode()
            for schema in config.schemas
        }

    async def start(self) -> None:
        """Read the schema and keep it current. Raises `psycopg.OperationalError` when the database is not there."""
        ready = asyncio.Event()
        self._watcher = asyncio.create_task(watch(self.config.database_url, self.config.schemas, self._use, ready))
        # Either the first schema has been read, or the watcher has failed before that, and its error is raised.
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

    def profile(self, schema: str) -> str | None:
        """The schema to name in answers; None where only one is exposed."""
        return schema if len(self.config.schemas) > 1 else None

    async def ping(self) -> None:
        """Raises `GatewayError` when the database does not answer."""
        session = await self._pool.acquire()
        try:
            await session.run([(b"select 1", ())])
        finally:
            self._pool.release(session)

    async def run(
        self,
        statement: Statement,
        request: Request,
        caller: Caller,
        schema: str,
        *,
        read_only: bool = False,
        local: Settings = (),
        single: bool = False,
    ) -> Result:
        """The result of `statement`, committed. `single` commits only when it is exactly one row.

        Raises `PostgresError` and `GatewayError`. What the database wants of the answer is read after the commit, so
        a function that sets an invalid `response.status` is answered with an error although its changes stay.
        """
        # A function's own settings come last, and win over the role's.
        settings = (*self.schema.roles.get(caller.role, ()), *local)
        frame = Frame(self._search_paths[schema], read_only, settings, self.config.pre_request, held=single)
        statements = around(statement, caller, request, frame)
        session = await self._pool.acquire()
        try:
            result = Result.of(await session.run(statements))
            if single:
                result.require_one()
                await session.run([COMMIT])
        except (PostgresError, GatewayError):
            # Only an implicit transaction has ended by itself.
            if session.usable and statements[0][0].startswith(b"begin"):
                await session.run([ROLLBACK])
            raise
        finally:
            self._pool.release(session)
        return result

    def _use(self, schema: Schema) -> None:
        self.schema = schema
        calls = ((path, functions.direct(overloads)) for path, overloads in schema.functions.items())
        self.direct = {path: call for path, call in calls if call is not None}
        self._pool.renew()
