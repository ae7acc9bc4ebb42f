"""Calls Supabase's PostgREST, translates its errors, and repeats calls that failed.

Only the PostgREST client of the `supabase` package is imported, as this is on every function's cold path. Every call
that goes through `Database` may be repeated: reads change nothing, and each write is idempotent in SQL.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from shared.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    StorageUnavailableError,
    UnprocessableError,
    WorkflowEngineError,
)
from shared.json_types import JsonObject
from shared.platform.deadline import seconds_left
from shared.settings import settings

if TYPE_CHECKING:
    import httpx
    from postgrest import AsyncPostgrestClient, AsyncSelectRequestBuilder

logger = logging.getLogger(__name__)

# The pause before each retry: a call is tried once more than there are entries.
RETRY_DELAYS_SECONDS = (0.02, 0.2)
# The timeout of a call with its retries, unless its caller has less time (see `shared.platform.deadline`).
TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 3.0

# SQLSTATEs (whole, or their class of two characters) and PostgREST codes of transient errors. A deadlock (40P01) is
# one: Postgres aborts one of the calls, which may be repeated like any other.
_UNAVAILABLE = ("08", "40", "53", "57", "55P03", "PGRST000", "PGRST001", "PGRST002", "PGRST003")
# Codes of a store that needs an operator: it is read-only (Supabase's disk is full, or its primary has moved), its disk
# fails, our key or role is refused, or its schema is older than the code. They count as unavailable: an item that was
# refused for its own content is put aside, and here all items would be.
_OUT_OF_ORDER = ("25", "28", "58", "PGRST2", "PGRST3")
_INVALID = ("22", "23502", "23514", "PGRST100", "PGRST102")
_BY_STATUS: dict[str, type[WorkflowEngineError]] = {
    "PT400": InvalidRequestError,
    "PT404": NotFoundError,
    "PT409": ConflictError,
    "PT422": UnprocessableError,
    "23505": ConflictError,
    "23503": UnprocessableError,
}


class _Response(Protocol):
    @property
    def data(self) -> object: ...


class _Request(Protocol):
    """A PostgREST call that has been built, of any kind."""

    async def execute(self) -> _Response: ...


class Database:
    """One process's connection pool to Supabase, which belongs to one event loop."""

    def __init__(self, url: str, key: str) -> None:
        """`url` is the project's (`SUPABASE_URL`), `key` its service key."""
        self._url = url
        self._key = key
        self._client: AsyncPostgrestClient | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def client(self) -> AsyncPostgrestClient:
        """The supabase package's PostgREST client, made on first use."""
        if self._client is None:
            import httpx
            from postgrest import AsyncPostgrestClient

            from shared.repositories.transport import StreamTransport

            self._http = httpx.AsyncClient(
                base_url=f"{self._url}/rest/v1",
                timeout=None,  # noqa: S113 -- the transport has the timeouts
                transport=StreamTransport(CONNECT_SECONDS, TIMEOUT_SECONDS),
                trust_env=False,
            )
            headers = {"apikey": self._key, "Authorization": f"Bearer {self._key}"}
            # Retries are in `_repeated`: the client's own would multiply them for reads.
            self._client = AsyncPostgrestClient(
                f"{self._url}/rest/v1", headers=headers, http_client=self._http, retry_enabled=False
            )
        return self._client

    async def rpc(self, function: str, argument: JsonObject) -> Any:
        """The result of a database function; `argument` is its one jsonb argument."""
        return await self._repeated(lambda: self.client.rpc(function, {"argument": argument}))  # type: ignore[dict-item]  # the client's type says str; its body is JSON

    async def select(
        self,
        table: str,
        columns: str,
        configure: Callable[[AsyncSelectRequestBuilder], AsyncSelectRequestBuilder],
    ) -> list[Any]:
        """The rows of a table that `configure` filters, orders and limits: objects of the `columns` asked for."""
        rows: list[Any] = await self._repeated(lambda: configure(self.client.from_(table).select(columns)))
        return rows

    async def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        http, self._client, self._http = self._http, None, None
        if http is not None:
            await http.aclose()

    async def _repeated(self, build: Callable[[], _Request]) -> Any:
        """The result of the first successful try. All share one timeout, so that a hung server is waited for once."""
        try:
            # Only an unavailable store is asked again: every other error would be the same.
            async with asyncio.timeout(seconds_left(TIMEOUT_SECONDS)):
                for delay in RETRY_DELAYS_SECONDS:
                    try:
                        return await _once(build)
                    except StorageUnavailableError:
                        await asyncio.sleep(delay)
                return await _once(build)
        except TimeoutError as error:
            raise StorageUnavailableError from error


async def _once(build: Callable[[], _Request]) -> object:
    import httpx
    from postgrest import APIError

    try:
        return (await build().execute()).data
    except httpx.TransportError as error:
        raise StorageUnavailableError from error
    except APIError as error:
        raise translate(error.code, error.message, error.details) from error


def translate(code: object, message: str | None, details: object = None) -> WorkflowEngineError:
    """Our error for one of PostgREST's (a SQLSTATE, a PGRST code or an HTTP status).

    Source: https://docs.postgrest.org/en/stable/references/errors.html
    """
    code = str(code or "")
    if code.startswith(_OUT_OF_ORDER):
        logger.error("store_out_of_order", extra={"code": code, "error": str(message)[:300]})
        return StorageUnavailableError()
    if code.startswith(_UNAVAILABLE) or (code.isdigit() and int(code) in (429, 500, 502, 503, 504, 520)):
        return StorageUnavailableError()
    if code in _BY_STATUS:
        return _BY_STATUS[code](_detail(message, details))
    if code.startswith(_INVALID):
        return InvalidRequestError(_detail(message, details))
    return WorkflowEngineError(f"The database answered {code or 'without a code'}: {message}")


def _detail(message: str | None, details: object) -> str | None:
    if isinstance(details, str) and details.startswith("{"):
        try:
            return str(json.loads(details).get("detail") or message)
        except (ValueError, AttributeError):
            return message
    return message


_database: Database | None = None


def database() -> Database:
    """This process's `Database`, made from its settings."""
    global _database  # one per process, by design
    if _database is None:
        _database = Database(settings().supabase_url, settings().supabase_key)
    return _database
