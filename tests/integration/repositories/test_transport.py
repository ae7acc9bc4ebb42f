"""The transport against servers that behave, and ones that do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from shared.repositories.transport import StreamTransport

Answer = Callable[[int, int, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request as it is told to; counts connections and requests."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.connections, self.open, self.requests = answer, 0, 0, list[bytes]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections, self.open = self.connections + 1, self.open + 1
        connection = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if b"content-length" in x), 0)
                self.requests.append(await reader.readexactly(length))
                await self.answer(connection, len(self.requests), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1


@asynccontextmanager
async def served(answer: Answer, timeout_seconds: float = 5.0) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """The server, and a client of it."""
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = StreamTransport(1.0, timeout_seconds)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", transport=transport) as client:
        yield server, client
    listening.close()
    while server.open:  # noqa: ASYNC110 -- for the moment that closed connections take to end
        await asyncio.sleep(0.001)


def plain(body: bytes, headers: bytes = b"") -> bytes:
    """An answer with a length."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), headers, body)


async def well(connection: int, number: int, writer: asyncio.StreamWriter) -> None:
    """An answer that says which it is."""
    writer.write(plain(b"%d of %d" % (number, connection)))


async def test_one_connection_serves_many_requests() -> None:
    """One after another; at the same time, each has its own."""
    async with served(well) as (server, client):
        assert (await client.post("/a", content=b"x" * 70_000)).text == "1 of 1"
        assert (await client.get("/b")).text == "2 of 1"
        await asyncio.gather(*(client.get("/c") for _ in range(3)))
    assert (server.connections, server.requests[0]) == (3, b"x" * 70_000)


async def test_chunks_are_joined_and_encodings_undone() -> None:
    """As an HTTP/1.1 server may send what it has not counted."""

    async def chunks(_: int, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"3\r\nab\n\r\nA;x=y\r\n0123456789\r\n0\r\na: b\r\n\r\n")

    async with served(chunks) as (server, client):
        assert [(await client.get("/")).text for _ in range(2)] == ["ab\n0123456789"] * 2
    assert server.connections == 1


async def test_interim_answer_is_not_taken_for_the_answer() -> None:
    """A proxy may send early hints first."""

    async def hints(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + plain(b"%d" % number))

    async with served(hints) as (server, client):
        answers = [await client.get("/") for _ in range(2)]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "1"), (200, "2")]
    assert server.connections == 1


async def test_answer_without_a_length_lasts_until_the_connection_ends() -> None:
    """Such a connection is not used again; nor is one whose server says that it closes it."""

    async def closing(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        close = b"connection: close\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nto the " if number == 1 else plain(b"to the end", close))
        await writer.drain()
        if number == 1:
            await asyncio.sleep(0.01)
            writer.write(b"end")
            await writer.drain()
            writer.close()

    async with served(closing) as (server, client):
        assert [(await client.get("/")).text for _ in range(3)] == ["to the end"] * 3
    assert server.connections == 3


async def test_answers_without_a_body_are_complete_at_their_headers() -> None:
    """To HEAD, whatever length is told; and 204 and 304."""

    async def bodiless(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        status = (b"200 OK", b"204 No Content", b"304 Not Modified")[number - 1]
        writer.write(b"HTTP/1.1 " + status + b"\r\n" + (b"content-length: 7\r\n" if number == 1 else b"") + b"\r\n")

    async with served(bodiless) as (server, client):
        answers = [await client.head("/"), await client.get("/"), await client.get("/")]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b""), (204, b""), (304, b"")]
    assert server.connections == 1


async def test_headers_without_end_are_an_error_of_the_transport() -> None:
    """Nobody fills the memory with them."""

    async def endless(_: int, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000)

    async with served(endless) as (_, client):
        with pytest.raises(httpx.ReadError, match="headers"):
            await client.get("/")


async def test_a_header_with_a_line_break_is_not_sent() -> None:
    """It would be a second header, or a second request."""
    async with served(well) as (server, client):
        with pytest.raises(httpx.LocalProtocolError):
            await client.get("/", headers={"x": "a\r\nb: c"})
    assert server.requests == []


async def test_what_is_not_http_is_an_error_of_the_transport() -> None:
    """And its connection is not kept."""

    async def noise(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01 hello\r\n\r\n" if number == 1 else plain(b"well"))

    async with served(noise) as (server, client):
        with pytest.raises(httpx.ReadError):
            await client.get("/")
        assert (await client.get("/")).text == "well"
    assert server.connections == 2


async def test_connection_that_died_while_it_was_kept_is_replaced() -> None:
    """The request that finds it dead is sent again and fails nobody."""

    async def once(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"%d" % number))
        await writer.drain()
        writer.close()

    async with served(once) as (server, client):
        assert [(await client.get("/")).status_code for _ in range(4)] == [200] * 4
    assert server.connections == 4


async def test_answer_that_breaks_off_is_an_error_of_the_transport() -> None:
    """It is not sent again here: the caller knows whether it may be."""

    async def half(_: int, __: int, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"whole")[:-2])
        await writer.drain()
        writer.close()

    async with served(half) as (server, client):
        with pytest.raises(httpx.ReadError):
            await client.get("/")
    assert len(server.requests) == 1


async def test_server_that_says_nothing_is_given_up() -> None:
    """After the time that a request may take; its connection is not used again."""

    async def nothing(_: int, number: int, writer: asyncio.StreamWriter) -> None:
        if number > 1:
            await well(1, number, writer)

    async with served(nothing, timeout_seconds=0.2) as (server, client):
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/")
        assert (await client.get("/")).status_code == 200
    assert server.connections == 2


async def test_nobody_there_is_a_connect_error() -> None:
    """As httpx's own transport has it."""
    transport = StreamTransport(1.0, 1.0)
    async with httpx.AsyncClient(base_url="http://127.0.0.1:9", transport=transport) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/")
