"""HTTP/1.1 over asyncio's streams, for the one server that every function speaks to, as a transport of httpx.

h11 speaks the protocol. httpx's own transport brings httpcore and anyio besides, a tenth of a cold start, and spends a
millisecond of processor time on a call. This one does what PostgREST needs: requests with whole bodies, connections
that are kept, and no proxies, upgrades or pipelines (docs/adr/0009-transport.md).

Whatever goes wrong on a connection ends it and is an `httpx.TransportError`. A kept connection may have died while the
function was frozen: a request that gets not one byte of an answer on it is sent again on a new one, which everything
that is asked here bears (see `Database`).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

import h11
import httpx

# How long the other side may be silent before a kept connection is not trusted any more; servers close after a minute.
KEPT_SECONDS = 50.0
MAX_CONNECTIONS = 16
MAX_HEADER_BYTES = 65_536
READ_BYTES = 65_536


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: h11.Connection
    used_at: float

    def is_alive(self) -> bool:
        return not self.reader.at_eof() and time.monotonic() - self.used_at < KEPT_SECONDS


class StreamTransport(httpx.AsyncBaseTransport):
    """Requests to one server; belongs to one event loop."""

    def __init__(self, connect_seconds: float, timeout_seconds: float) -> None:
        """How long a connection, and how long a whole request may take."""
        self._connect_seconds, self._timeout_seconds = connect_seconds, timeout_seconds
        self._kept: list[_Connection] = []
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, with its body read; `httpx.ReadTimeout` when it takes too long, `httpx.TransportError` for
        whatever else goes wrong."""
        body = await request.aread()
        try:
            async with asyncio.timeout(self._timeout_seconds), self._free:
                return await self._exchange(request, body)
        except TimeoutError as error:
            raise httpx.ReadTimeout("The server takes too long.", request=request) from error

    async def aclose(self) -> None:
        """Ends the kept connections."""
        kept, self._kept = self._kept, []
        for connection in kept:
            connection.writer.close()

    async def _exchange(self, request: httpx.Request, body: bytes) -> httpx.Response:
        while self._kept:
            connection = self._kept.pop()
            if connection.is_alive():
                try:
                    return await self._once(connection, request, body)
                except _DeadError:
                    continue
            connection.writer.close()
        try:
            return await self._once(await self._connect(request), request, body)
        except _DeadError as error:
            raise httpx.RemoteProtocolError("The server closed the connection.", request=request) from error

    async def _connect(self, request: httpx.Request) -> _Connection:
        url = request.url
        secure = url.scheme == "https"
        if secure and self._tls is None:
            import certifi

            self._tls = ssl.create_default_context(cafile=certifi.where())
        try:
            async with asyncio.timeout(self._connect_seconds):
                reader, writer = await asyncio.open_connection(
                    url.host,
                    url.port or (443 if secure else 80),
                    ssl=self._tls if secure else None,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("The server cannot be reached in time.", request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
        return _Connection(reader, writer, protocol, time.monotonic())

    async def _once(self, connection: _Connection, request: httpx.Request, body: bytes) -> httpx.Response:
        try:
            await _send(connection, request, body)
            response = await _receive(connection, request)
        except _DeadError:
            connection.writer.close()
            raise
        except (OSError, h11.ProtocolError) as error:
            connection.writer.close()
            raise httpx.ReadError(str(error) or type(error).__name__, request=request) from error
        except BaseException:  # cancelled in the midst of an answer: whoever came next would read the rest of it
            connection.writer.close()
            raise
        connection.used_at = time.monotonic()
        if connection.protocol.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            connection.protocol.start_next_cycle()
            self._kept.append(connection)
        else:
            connection.writer.close()
        return response


class _DeadError(Exception):
    """The connection was closed before the first byte of an answer."""


async def _send(connection: _Connection, request: httpx.Request, body: bytes) -> None:
    send = connection.protocol.send
    head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    # None of these is None: that is the answer only to the end of a connection.
    sent = [send(head), send(h11.Data(data=body)) if body else b"", send(h11.EndOfMessage())]
    try:
        connection.writer.write(b"".join(part for part in sent if part))
        await connection.writer.drain()
    except ConnectionError as error:
        raise _DeadError from error


async def _receive(connection: _Connection, request: httpx.Request) -> httpx.Response:
    head: h11.Response | None = None
    body = bytearray()
    unheard = True
    while True:
        event = connection.protocol.next_event()
        if event is h11.NEED_DATA:
            connection.protocol.receive_data(await _read(connection, unheard))
            unheard = False
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    assert head is not None  # h11 has no end of a message without its beginning
    return httpx.Response(head.status_code, headers=head.headers.raw_items(), content=bytes(body), request=request)


async def _read(connection: _Connection, unheard: bool) -> bytes:
    """The next bytes; none at the connection's end, which is `_DeadError` if there never were any."""
    try:
        read = await connection.reader.read(READ_BYTES)
    except ConnectionError as error:
        if unheard:
            raise _DeadError from error
        raise
    if unheard and not read:
        raise _DeadError
    return read
