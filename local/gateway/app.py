"""The gateway as an ASGI application: each request becomes one transaction, and its answer leaves after the commit."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import psycopg

from local.gateway import calls, rows
from local.gateway.answer import Answer
from local.gateway.auth import Authenticator, Caller
from local.gateway.database import Config, Database
from local.gateway.errors import JSON_TYPE, GatewayError, PostgresError
from local.gateway.request import Request

logger = logging.getLogger(__name__)

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Where Supabase mounts PostgREST; the root serves the same.
_MOUNT = "/rest/v1"
_JWKS = "/auth/v1/.well-known/jwks.json"


class Gateway:
    """The ASGI application."""

    def __init__(self, config: Config, authenticator: Authenticator) -> None:
        """Connects at the lifespan's startup, to `config.database_url`."""
        self._database = Database(config)
        self._authenticator = authenticator

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

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._database.start()
        except (psycopg.Error, OSError) as error:
            await send({"type": "lifespan.startup.failed", "message": f"The database cannot be read: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._database.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _respond(self, request: Request) -> Answer:
        anonymous = True
        try:
            if request.path == _JWKS:
                return _json(self._authenticator.jwks)
            headers = request.headers
            caller = self._authenticator.identify(headers.get(b"authorization"), headers.get(b"apikey"))
            anonymous = caller.anonymous
            # libpq's text parameters end at a NUL byte, and Postgres cannot store one.
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
            return await calls.answer(self._database, request, caller, rest)
        if not first:
            await self._database.ping()
            return _json({"status": "ok", "schemas": self._database.config.schemas})
        if rest:
            raise GatewayError(404, "PGRST125", "Invalid path specified in request URL")
        return await rows.answer(self._database, request, caller, first)


def _json(value: object) -> Answer:
    body = json.dumps(value, separators=(",", ":")).encode()
    return 200, [JSON_TYPE, (b"content-length", b"%d" % len(body))], body


async def _read(scope: Scope, receive: Receive) -> Request:
    message = await receive()
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    path: str = scope["path"]
    if path.startswith(_MOUNT) and path[len(_MOUNT) :][:1] in ("", "/"):
        path = path[len(_MOUNT) :] or "/"
    return Request(scope["method"], path, scope["query_string"], dict(scope["headers"]), b"".join(parts))
