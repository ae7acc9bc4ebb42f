"""HTTP/1.1 over asyncio's streams, for the one server that every function speaks to, as a transport of httpx.

httpx's own brings httpcore, h11 and anyio, a tenth of a cold start, and spends a millisecond of processor time on a
call. This one does what PostgREST needs: requests with whole bodies, answers with a length or in chunks,
connections that are kept, and no proxies, upgrades or pipelines.

Whatever goes wrong on a connection ends it and is an `httpx.TransportError`. A kept connection may have died while the
function was frozen: a request that gets not one byte of an answer on it is sent again on a new one, which everything
that is asked here bears (see `Database`).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

import httpx

# How long the other side may be silent before a kept connection is not trusted any more; servers close after a minute.
KEPT_SECONDS = 50.0
MAX_CONNECTIONS = 16
MAX_HEADER_BYTES = 65_536


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
        """The answer, with its body read."""
        sent = _encoded(request, await request.aread())
        try:
            async with asyncio.timeout(self._timeout_seconds), self._free:
                return await self._exchange(request, sent)
        except TimeoutError as error:
            raise httpx.ReadTimeout("The server takes too long.", request=request) from error

    async def aclose(self) -> None:
        """Ends the kept connections."""
        kept, self._kept = self._kept, []
        for connection in kept:
            connection.writer.close()

    async def _exchange(self, request: httpx.Request, sent: bytes) -> httpx.Response:
        while self._kept:
            connection = self._kept.pop()
            if connection.is_alive():
                try:
                    return await self._once(connection, request, sent)
                except _DeadError:
                    continue
            connection.writer.close()
        try:
            return await self._once(await self._connect(request), request, sent)
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
                    limit=MAX_HEADER_BYTES,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("The server cannot be reached in time.", request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return _Connection(reader, writer, time.monotonic())

    async def _once(self, connection: _Connection, request: httpx.Request, sent: bytes) -> httpx.Response:
        try:
            head = await _head(connection, sent)
            response, keep = await _response(head, connection.reader, request)
        except _DeadError:
            connection.writer.close()
            raise
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            connection.writer.close()
            raise httpx.ReadError(str(error) or type(error).__name__, request=request) from error
        except BaseException:  # cancelled in the midst of an answer: whoever came next would read the rest of it
            connection.writer.close()
            raise
        connection.used_at = time.monotonic()
        if keep:
            self._kept.append(connection)
        else:
            connection.writer.close()
        return response


class _DeadError(Exception):
    """The connection was closed before the first byte of an answer."""


def _encoded(request: httpx.Request, body: bytes) -> bytes:
    lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    return b"\r\n".join((*lines, b"", body))


async def _head(connection: _Connection, sent: bytes) -> bytes:
    try:
        connection.writer.write(sent)
        await connection.writer.drain()
        return await connection.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        raise _DeadError from error
    except ConnectionError as error:
        raise _DeadError from error


async def _response(head: bytes, reader: asyncio.StreamReader, request: httpx.Request) -> tuple[httpx.Response, bool]:
    """The response, and whether its connection may be kept."""
    first, *lines = head[:-4].split(b"\r\n")
    version, status = first.split(b" ", 2)[:2]
    pairs = (line.partition(b":") for line in lines)
    headers = httpx.Headers([(name.strip(), value.strip()) for name, _, value in pairs])
    keep = version == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if request.method == "HEAD" or status in (b"204", b"304"):
        body = b""
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _chunks(reader)
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body, keep = await reader.read(), False
    return httpx.Response(int(status), headers=headers, content=body, request=request), keep


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass  # trailers
    return bytes(body)
