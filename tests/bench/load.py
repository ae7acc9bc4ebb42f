"""A load of prepared HTTP requests over kept connections: as little of the generator in the figures as can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and when it was whole, by the wall clock, `seconds` after its request was sent."""

    status: int
    body: bytes
    received_at: float
    seconds: float


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of a POST to the local stack."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connections:
    """Connections to a port of this machine, which are kept: one request at a time on each, as many as are needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, wire: bytes) -> Answer:
        """The answer to a request, on a new connection if all are busy; its time counts too."""
        started = time.perf_counter()
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # servers end what has been idle for seconds
                break
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(wire)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        self._idle.append((reader, writer))
        return Answer(int(head[9:12]), body, time.time(), time.perf_counter() - started)

    async def close(self) -> None:
        """Ends the connections, all of which are idle."""
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


async def send(port: int, requests: Sequence[bytes], connections: int) -> list[Answer]:
    """The answers to all requests, sent one at a time on each of so many connections to a port of this machine."""
    pool, waiting = Connections(port), iter(requests)
    answers: list[Answer] = []

    async def one_after_another() -> None:
        answers.extend([await pool.send(wire) for wire in waiting])

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_after_another())
    await pool.close()
    return answers


async def send_at_rate(port: int, requests: Sequence[bytes], per_second: float) -> tuple[list[Answer], float]:
    """The answers to requests that leave at their times, whatever the answers do, so that a slow answer cannot slow the
    load down; and by how many seconds the latest of them left too late."""
    connections, lateness = Connections(port), 0.0
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        sent = []
        for number, wire in enumerate(requests):
            early = started + number / per_second - time.perf_counter()
            await asyncio.sleep(max(0.0, early))
            lateness = max(lateness, time.perf_counter() - started - number / per_second)
            sent.append(group.create_task(connections.send(wire)))
    await connections.close()
    return [task.result() for task in sent], lateness
