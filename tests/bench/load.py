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


async def send(port: int, requests: Sequence[bytes], connections: int) -> list[Answer]:
    """The answers to all requests, sent one at a time on each of so many connections to a port of this machine."""
    waiting = iter(requests)
    answers: list[Answer] = []

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for wire in waiting:
            started = time.perf_counter()
            writer.write(wire)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            answers.append(Answer(int(head[9:12]), body, time.time(), time.perf_counter() - started))
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_connection())
    return answers
