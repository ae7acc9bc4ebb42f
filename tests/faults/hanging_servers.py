"""Servers that hang: the fault beside a server that stops. Nothing is refused, and nothing comes back.

with frozen(stack.gateway): …       # SIGSTOP; SIGCONT in any case when the block ends
with silent_host() as port: …       # accepts connections and never answers
with trickling_host() as port: …    # answers, a byte at a time, and is never done
with silent_name_server() as port:  # takes queries (UDP) and never answers one
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

TICK_SECONDS = 0.05


class Server(Protocol):
    """Any of the local stack's: the gateway, Postgres, Valkey."""

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """Its first process."""
        ...


@contextmanager
def frozen(*servers: Server | int) -> Iterator[None]:
    """The servers, each a server or a process id, with all their processes standing still inside the block: the kernel
    still accepts connections for them and takes what is sent."""
    stopped: list[int] = []
    try:
        for server in servers:
            stopped += _stop(server if isinstance(server, int) else _pid(server))
        yield
    finally:
        for pid in reversed(stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _pid(server: Server) -> int:
    assert server.process is not None, "it is stopped; it cannot hang"
    return server.process.pid


def _stop(root: int) -> list[int]:
    """The processes that now stand still. The first is stopped before its children are listed: it starts no more."""
    stopped: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
            _wait_until_stopped(pid)
            waiting += _children(pid)
    return stopped


def _stat(pid: int) -> list[str]:
    # The name, in parentheses, may have anything in it: what counts comes after it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _wait_until_stopped(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if _stat(pid)[0] in "TtZ":
                return
        except FileNotFoundError:
            return
        time.sleep(0.002)
    raise AssertionError(f"Process {pid} does not stop.")


def _children(pid: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        # A process may end while it is looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdigit() and int(_stat(int(entry.name))[1]) == pid:
                children.append(int(entry.name))
    return children


@contextmanager
def silent_host() -> Iterator[int]:
    """The port of a server that accepts every connection, reads what comes, and answers nothing."""
    with _host(lambda _connection: None) as port:
        yield port


@contextmanager
def trickling_host(seconds_per_byte: float = 0.2) -> Iterator[int]:
    """The port of a server whose answer comes a byte at a time: each read succeeds, the whole is never there."""
    begun: dict[int, float] = {}
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000000\r\n\r\n"

    def feed(connection: socket.socket) -> None:
        now = time.monotonic()
        last = begun.get(connection.fileno())
        if last is None or now - last >= seconds_per_byte:
            connection.send(head if last is None else b"x")
            begun[connection.fileno()] = now

    with _host(feed) as port:
        yield port


@contextmanager
def silent_name_server() -> Iterator[int]:
    """The UDP port of a name server that answers no query."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@contextmanager
def _host(feed: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accepts in a thread; `feed` is called with each open connection at every tick, once a request has come."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        server.setblocking(False)
        thread = threading.Thread(target=_serve, args=(server, feed, ended))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def _serve(server: socket.socket, feed: Callable[[socket.socket], None], ended: threading.Event) -> None:
    asked: set[socket.socket] = set()
    with selectors.DefaultSelector() as ready, contextlib.ExitStack() as opened:
        ready.register(server, selectors.EVENT_READ)
        while not ended.is_set():
            for key, _ in ready.select(TICK_SECONDS):
                if key.fileobj is server:
                    connection = opened.enter_context(server.accept()[0])
                    ready.register(connection, selectors.EVENT_READ)
                    continue
                assert isinstance(key.fileobj, socket.socket)
                _read(key.fileobj, asked, ready)
            for connection in list(asked):
                try:
                    feed(connection)
                except OSError:  # the caller gave up
                    asked.discard(connection)


def _read(connection: socket.socket, asked: set[socket.socket], ready: selectors.BaseSelector) -> None:
    try:
        heard = connection.recv(65_536)
    except OSError:
        heard = b""
    if heard:
        asked.add(connection)
    else:
        asked.discard(connection)
        ready.unregister(connection)
        connection.close()
