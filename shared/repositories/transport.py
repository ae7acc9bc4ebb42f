"""An httpx transport for the one server that every function calls: HTTP/1.1 over asyncio's streams.

httpx's own transport imports httpcore, h11 and anyio, a tenth of a cold start, and spends a millisecond of processor
time on a call. This one does what PostgREST needs: requests with whole bodies and a pool of kept connections, without
proxies, upgrades or pipelining. Responses are parsed by llhttp, Node's parser (docs/adr/0009-transport.md).

Any error on a connection closes it and raises an `httpx.TransportError`. A kept connection may have died while the
function was frozen: a request that got no byte of a response on it is sent again on a new one, which is safe since all
calls are idempotent (see `Database`).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

import httptools
import httpx

# How long a kept connection may be idle before it is replaced; servers close theirs after a minute.
KEPT_SECONDS = 50.0
MAX_CONNECTIONS = 16
MAX_HEADER_BYTES = 65_536
READ_BYTES = 65_536


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
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
        """Closes the kept connections."""
        connections, self._kept = self._kept, []
        for connection in connections:
            connection.writer.close()

    async def _exchange(self, request: httpx.Request, body: bytes) -> httpx.Response:
        while self._kept:
            # The connection used last is the most likely to be alive.
            connection = self._kept.pop()
            if connection.is_alive():
                try:
                    return await self._once(connection, request, body)
                except _DeadError:
                    continue  # closed while it was idle: no byte of a response came, so the request may be repeated
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
        return _Connection(reader, writer, time.monotonic())

    async def _once(self, connection: _Connection, request: httpx.Request, body: bytes) -> httpx.Response:
        try:
            await _send(connection, _head(request) + body)
            answer = await _receive(connection, request.method == "HEAD")
        except _DeadError:
            connection.writer.close()
            raise
        except (OSError, EOFError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            connection.writer.close()
            raise httpx.ReadError(str(error) or type(error).__name__, request=request) from error
        except BaseException:  # cancelled within a response: the next request would read the rest of it
            connection.writer.close()
            raise
        connection.used_at = time.monotonic()
        if answer.keeps_connection:
            self._kept.append(connection)
        else:
            connection.writer.close()
        return httpx.Response(answer.status, headers=answer.headers, content=bytes(answer.body), request=request)


class _DeadError(Exception):
    """The connection was closed before the first byte of a response."""


class _Answer:
    """A response, filled in by its parser's callbacks; `headers` are pairs of names and values."""

    def __init__(self, has_no_body: bool) -> None:
        self.status, self.headers, self.body = 0, list[tuple[bytes, bytes]](), bytearray()
        self.is_begun = self.is_complete = self.keeps_connection = self._lasts_until_the_end = False
        self._has_no_body = has_no_body
        self._parser = httptools.HttpResponseParser(self)

    def take(self, data: bytes) -> None:
        """Parses the next bytes of the connection; none at its end, which completes a response without a length."""
        if data:
            self._parser.feed_data(data)
        elif self._lasts_until_the_end:
            self.is_complete = True
        else:
            raise EOFError("The connection ended within an answer.")

    def close(self) -> None:
        """Drops the parser, which refers to this response: the cycle would stay until the next garbage collection."""
        del self._parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.is_begun = self.status >= 200
        # The parser does not know that the request was a HEAD, and would wait for the body that the length announces.
        if self._has_no_body and self.is_begun:
            self._end()
        elif self.status not in (204, 304):
            # Without a length and without chunks, the body lasts until the connection closes (RFC 9112, section 6.3).
            names = {name.lower() for name, _ in self.headers}
            self._lasts_until_the_end = self.is_begun and names.isdisjoint({b"content-length", b"transfer-encoding"})

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        if self.is_begun:
            self._end()
        else:  # an interim response, such as early hints; the final one follows
            self.headers.clear()

    def _end(self) -> None:
        self.is_complete, self.keeps_connection = True, self._parser.should_keep_alive()


def _head(request: httpx.Request) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    # httpx takes such values as they are: a line break would begin another header, or a second request.
    if any(character in line for line in lines for character in (b"\r", b"\n", b"\0")):
        raise httpx.LocalProtocolError("A header has a line break or NUL in it.", request=request)
    return b"\r\n".join((*lines, b"", b""))


async def _send(connection: _Connection, sent: bytes) -> None:
    try:
        connection.writer.write(sent)
        await connection.writer.drain()
    except ConnectionError as error:
        raise _DeadError from error


async def _receive(connection: _Connection, has_no_body: bool) -> _Answer:
    answer, heard = _Answer(has_no_body), 0
    try:
        while not answer.is_complete:
            read = await _read(connection, unheard=heard == 0)
            heard += len(read)
            answer.take(read)
            if not answer.is_begun and heard > MAX_HEADER_BYTES:
                raise EOFError(f"An answer's headers have more than {MAX_HEADER_BYTES} bytes.")
    finally:
        answer.close()
    return answer


async def _read(connection: _Connection, unheard: bool) -> bytes:
    """The next bytes, empty at the connection's end; raises `_DeadError` if that comes before the first byte."""
    try:
        read = await connection.reader.read(READ_BYTES)
    except ConnectionError as error:
        if unheard:
            raise _DeadError from error
        raise
    if unheard and not read:
        raise _DeadError
    return read
