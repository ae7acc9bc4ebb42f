"""The embedded Postgres."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from local.stack import unprivileged
from local.stack.postgres import PostgresServer
from local.stack.process import ServerError, accepts_connections, is_alive


def test_postgres_keeps_its_data_over_a_restart(tmp_path: Path, postgres_template: Path) -> None:
    """What was committed is there after stop and start, on the same port."""
    with PostgresServer(tmp_path / "data", template=postgres_template) as server:
        port = server.port
        with psycopg.connect(server.createdb("kept"), autocommit=True) as connection:
            connection.execute("create table t as select 7 as n")
        server.stop()
        server.start()
        with psycopg.connect(server.url("kept")) as connection:
            assert connection.execute("select n from t").fetchone() == (7,)
        assert server.port == port
    assert not accepts_connections(port)


def test_postgres_runs_as_nobody_where_user_namespaces_are_forbidden(tmp_path: Path) -> None:
    """Root without the right to make a user namespace still gets a server, below folders that only root can enter."""
    if unprivileged.os.geteuid() != 0:
        pytest.skip("only root can become another user, and has to: run it as root")
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    server = PostgresServer(folder / "data", durable=False, identity=unprivileged.nobody())
    with server, psycopg.connect(server.url()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_postgres_on_a_port_in_use_is_reported(tmp_path: Path, postgres_template: Path) -> None:
    """A fixed port that somebody else holds is an error that shows the server's own words."""
    with PostgresServer(tmp_path / "one", template=postgres_template, durable=False) as first:
        second = PostgresServer(tmp_path / "two", first.port, template=postgres_template, durable=False)
        with pytest.raises(ServerError, match="Address already in use"):
            second.start()


def test_postgres_ends_with_a_killed_parent(tmp_path: Path, postgres_template: Path) -> None:
    """A parent that is killed leaves no server behind."""
    code = (
        "import sys, time; from pathlib import Path; from local.stack.postgres import PostgresServer\n"
        "server = PostgresServer(Path(sys.argv[1]), template=Path(sys.argv[2]), durable=False).start()\n"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data"), str(postgres_template)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)
