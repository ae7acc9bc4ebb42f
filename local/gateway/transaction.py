"""What surrounds a request's statement in its transaction: the role and the `request.*` settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from http.cookies import CookieError, SimpleCookie

from local.gateway import sql
from local.gateway.auth import Caller
from local.gateway.request import Request
from local.gateway.schema import Settings
from local.gateway.session import Statement

_NAMES = (
    "role",
    "request.jwt.claims",
    "request.method",
    "request.path",
    "request.headers",
    "request.cookies",
    "search_path",
    "transaction_read_only",
)
BEGIN: Statement = (b"begin", ())
COMMIT: Statement = (b"commit", ())
ROLLBACK: Statement = (b"rollback", ())
_ISOLATION = "default_transaction_isolation"
_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")


@dataclass(frozen=True, slots=True)
class Frame:
    """How a transaction is run. `local` are a role's and a function's settings; `pre_request` is a function's name.

    `held` leaves it open, so that the caller can read its result first and then commit or roll back.
    """

    search_path: bytes
    read_only: bool
    local: Settings = ()
    pre_request: str | None = None
    held: bool = False


def around(statement: Statement, caller: Caller, request: Request, frame: Frame) -> list[Statement]:
    """The transaction: `statement` with everything that belongs before and after it.

    Without a `begin` it is the implicit transaction of the pipeline.
    """
    # The isolation level cannot be set by `set_config` once the transaction has begun: it needs a `begin` of its own.
    level = next((value for name, value in frame.local if name == _ISOLATION and value in _LEVELS), None)
    local = [pair for pair in frame.local if pair[0] != _ISOLATION]
    values: list[bytes | None] = [
        caller.role,
        caller.claims,
        request.method.encode(),
        request.path.encode(),
        _headers(request.headers),
        _cookies(request.headers.get(b"cookie")),
        frame.search_path,
        b"on" if frame.read_only else b"off",
        *(value.encode() for _, value in local),
    ]
    statements = [(_settings(tuple(name for name, _ in local)), values), statement]
    if frame.pre_request is not None:
        statements.insert(1, (f"select {frame.pre_request}()".encode(), ()))
    if level is not None:
        statements.insert(0, (f"begin isolation level {level}".encode(), ()))
    elif frame.held:
        statements.insert(0, BEGIN)
    if level is not None and not frame.held:
        statements.append(COMMIT)
    return statements


@cache
def _settings(local: tuple[str, ...]) -> bytes:
    calls = (f"set_config({sql.literal(name)}, ${n}, true)" for n, name in enumerate((*_NAMES, *local), 1))
    return f"select {', '.join(calls)}".encode()


def _headers(headers: dict[bytes, bytes]) -> bytes:
    members = [_member(name, value) for name, value in headers.items() if name != b"cookie"]
    return f"{{{','.join(members)}}}".encode()


@lru_cache(maxsize=1000)
def _member(name: bytes, value: bytes) -> str:
    # A client's headers are mostly the same from request to request.
    return f"{json.dumps(name.decode('latin-1'))}:{json.dumps(value.decode('latin-1'))}"


def _cookies(header: bytes | None) -> bytes:
    if header is None:
        return b"{}"
    try:
        cookies = SimpleCookie(header.decode("latin-1"))
    except CookieError:
        return b"{}"
    return json.dumps({name: morsel.value for name, morsel in cookies.items()}).encode()
