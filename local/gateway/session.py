"""Connections to Postgres on which a whole transaction travels in one round trip.

The statements of a request are sent as one libpq pipeline. Postgres runs what stands before a pipeline's sync point in
one implicit transaction and commits it there, so `set local`, the call and the commit need no messages of their own,
and an answer is read only after its commit (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html).
Parameters are untyped text, and answers are texts that Postgres built: no value is converted in Python.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus

from local.gateway.errors import GatewayError, PostgresError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

# A statement and its parameters in text format; None is null. No parameter may hold a NUL byte: libpq stops there.
Statement: TypeAlias = tuple[bytes, Sequence[bytes | None]]
Row: TypeAlias = list[bytes | None]

# A client that writes values into its query text would otherwise fill the server's memory with prepared statements.
_MAX_PREPARED = 1000
_SYNC = int(ExecStatus.PIPELINE_SYNC)
_FAILED = int(ExecStatus.FATAL_ERROR)


class Session:
    """One connection; it serves one transaction at a time."""

    def __init__(self, connection: psycopg.AsyncConnection, loop: asyncio.AbstractEventLoop) -> None:
        """`connection` is idle and given up to this session."""
        self.usable = True
        self.epoch = 0
        self._stale = False
        self._connection = connection
        self._pgconn = connection.pgconn
        self._loop = loop
        self._socket = self._pgconn.socket
        self._prepared: dict[bytes, bytes] = {}
        self._count = 0
        self._results: list[PGresult] = []
        self._answer: asyncio.Future[None] | None = None
        self._pgconn.enter_pipeline_mode()
        loop.add_reader(self._socket, self._on_readable)

    @classmethod
    async def open(cls, url: str) -> Session:
        """A new session on the database at `url`."""
        connection = await psycopg.AsyncConnection.connect(url, autocommit=True, client_encoding="UTF8")
        return cls(connection, asyncio.get_running_loop())

    async def run(self, statements: Sequence[Statement]) -> Row:
        """The first row of the last statement that gave one, after all of them were committed.

        Raises `PostgresError` for the first that failed, after the rollback. Statements between a `begin` and a later
        `commit` are committed only by the latter.
        """
        # The results of the whole pipeline arrive in `_on_readable`, which sets the future at the sync point.
        self._answer = self._loop.create_future()
        try:
            sent = self._send(statements)
            await self._answer
        except psycopg.OperationalError as error:
            self.close()
            raise _lost(error) from error
        except BaseException:  # cancelled: the rest of this answer would be read as the next statement's
            self.close()
            raise
        finally:
            self._answer = None
            results, self._results = self._results, []
        return self._read(results, sent)

    def forget(self) -> None:
        """Drop all prepared statements before the next transaction."""
        self._stale = bool(self._prepared)

    def close(self) -> None:
        """End the connection; an open transaction is rolled back."""
        if self.usable:
            self.usable = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._pgconn.finish()

    def _send(self, statements: Sequence[Statement]) -> list[tuple[bytes, bytes] | None]:
        """For each result to expect: the text and its name where it was prepared, None where it was executed."""
        pgconn, prepared = self._pgconn, self._prepared
        sent: list[tuple[bytes, bytes] | None] = []
        # Postgres keeps a plan for each prepared statement; after a change of the schema it may no longer fit.
        if self._stale or len(prepared) > _MAX_PREPARED:
            self._stale = False
            prepared.clear()
            pgconn.send_query_params(b"deallocate all", None)
            sent.append(None)
        for text, parameters in statements:
            # A text is prepared once per connection and then executed by its name, which saves parsing and planning.
            name = prepared.get(text)
            if name is None:
                self._count += 1
                name = b"s%d" % self._count
                pgconn.send_prepare(name, text)
                sent.append((text, name))
            pgconn.send_query_prepared(name, parameters)
            sent.append(None)
        pgconn.pipeline_sync()
        self._flush()
        return sent

    def _read(self, results: Sequence[PGresult], sent: Sequence[tuple[bytes, bytes] | None]) -> Row:
        answer: PGresult | None = None
        # One result more than was sent is an error of the commit, a deferred constraint's for example.
        for result, prepared in zip_longest(results[:-1], sent):
            if result.status == _FAILED:
                raise _failure(result)
            if prepared is not None:
                self._prepared[prepared[0]] = prepared[1]
            # The settings give a row before it, and the commit none: the last row is the request's own.
            elif result.ntuples:
                answer = result
        return [] if answer is None else [answer.get_value(0, column) for column in range(answer.nfields)]

    def _flush(self) -> None:
        # A large body does not fit into the socket's buffer: the rest is sent when the socket is writable again.
        if self._pgconn.flush():
            self._loop.add_writer(self._socket, self._on_writable)

    def _on_writable(self) -> None:
        try:
            if not self._pgconn.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.OperationalError as error:
            self._fail(error)

    def _on_readable(self) -> None:
        pgconn = self._pgconn
        try:
            pgconn.consume_input()
            ended = False
            while self._answer is not None and not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    # One ends each statement's results; two in a row come only from a dead connection.
                    if ended:
                        raise psycopg.OperationalError("the connection was lost")
                    ended = True
                    continue
                ended = False
                self._results.append(result)
                if result.status == _SYNC:
                    if not self._answer.done():
                        self._answer.set_result(None)
                    return
        except psycopg.OperationalError as error:
            self._fail(error)

    def _fail(self, error: psycopg.OperationalError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()


class Pool:
    """Up to `size` sessions, opened when needed."""

    def __init__(self, url: str, size: int, wait_seconds: float = 10.0) -> None:
        """`wait_seconds` is how long a request waits for a session before it is refused."""
        self._url = url
        self._size = size
        self._wait_seconds = wait_seconds
        self._idle: list[Session] = []
        self._open = 0
        self._epoch = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> Session:
        """A session for this task alone, until `release`. Raises `GatewayError` when there is none to be had."""
        while True:
            while self._idle:
                session = self._idle.pop()
                if session.usable:
                    if session.epoch != self._epoch:
                        session.epoch = self._epoch
                        session.forget()
                    return session
                self._open -= 1
            if self._open < self._size:
                return await self._connect()
            await self._wait()

    def release(self, session: Session) -> None:
        """Give `session` back."""
        if session.usable:
            self._idle.append(session)
        else:
            self._open -= 1
        while self._waiting:
            # Wakes the longest waiting request that has not timed out; it looks for an idle session again.
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def renew(self) -> None:
        """Make all sessions drop their prepared statements: the schema has changed."""
        # Sessions notice at their next `acquire`: one that is in use keeps its statements until then.
        self._epoch += 1

    def close(self) -> None:
        """End all idle sessions."""
        for session in self._idle:
            session.close()
        self._idle.clear()

    async def _connect(self) -> Session:
        self._open += 1
        try:
            session = await Session.open(self._url)
        except BaseException as error:
            self._open -= 1
            if isinstance(error, psycopg.OperationalError):
                raise _lost(error) from error
            raise
        session.epoch = self._epoch
        return session

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await asyncio.wait_for(waiter, self._wait_seconds)
        except TimeoutError:
            message = "Timed out acquiring connection from connection pool."
            raise GatewayError(504, "PGRST003", message) from None


def _failure(result: PGresult) -> PostgresError:
    fields = (
        DiagnosticField.SQLSTATE,
        DiagnosticField.MESSAGE_PRIMARY,
        DiagnosticField.MESSAGE_DETAIL,
        DiagnosticField.MESSAGE_HINT,
    )
    code, message, details, hint = (
        None if (value := result.error_field(field)) is None else value.decode("utf-8", "replace") for field in fields
    )
    if code is None:  # made by libpq, not by the server: the connection is gone
        return PostgresError("08006", result.error_message.decode("utf-8", "replace"), None, None)
    return PostgresError(code, message or "", details, hint)


def _lost(error: psycopg.OperationalError) -> GatewayError:
    return GatewayError(503, "PGRST001", "Database client error. Retrying the connection.", details=str(error).strip())
