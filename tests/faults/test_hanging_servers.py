"""What hangs in the tests does hang, and comes back."""

from __future__ import annotations

import contextlib
import socket

import httpx
import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.postgres import PostgresServer
from local.stack.redis import RedisServer
from tests.faults.hanging_servers import frozen, silent_host, silent_name_server, trickling_host


def answer(port: int, seconds: float = 0.5) -> str:
    """What becomes of a request, each read of which may take so long."""
    with (
        contextlib.suppress(httpx.ReadTimeout),
        httpx.stream("GET", f"http://127.0.0.1:{port}/", timeout=seconds) as got,
    ):
        return f"{got.status_code} {next(got.iter_raw(1))!r}"
    return "silence"


def test_frozen_gateway_takes_what_is_sent_and_answers_when_it_thaws(supabase_gateway: SupabaseGateway) -> None:
    """Connections are accepted, and nothing comes back on them; afterwards it is as it was."""
    with frozen(supabase_gateway):
        assert answer(supabase_gateway.port) == "silence"
    assert httpx.get(supabase_gateway.url, timeout=20).status_code < 600


def test_frozen_valkey_is_silent(redis_server: RedisServer) -> None:
    """A process without children."""
    with socket.create_connection(("127.0.0.1", redis_server.port), timeout=0.5) as connection:
        with frozen(redis_server):
            connection.sendall(b"PING\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(10)
        connection.settimeout(20)
        assert connection.recv(10) == b"+PONG\r\n"


def test_frozen_postgres_stands_still_with_all_of_its_processes(postgres: PostgresServer, database_url: str) -> None:
    """A session that was open does not answer either; it goes on when its server does."""
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        with frozen(postgres):
            connection.pgconn.send_query(b"select 1")
            with socket.socket(fileno=socket.dup(connection.fileno())) as wire:
                wire.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    wire.recv(1, socket.MSG_PEEK)
        assert connection.pgconn.get_result() is not None
        assert connection.pgconn.get_result() is None
        assert cursor.execute("select 2").fetchone() == (2,)


def test_hosts_that_never_finish() -> None:
    """One accepts and is silent; one answers without end."""
    with silent_host() as port:
        assert answer(port) == "silence"
    with trickling_host() as port:
        assert answer(port) == "200 b'x'"


def test_name_server_is_silent() -> None:
    """A query is taken, and not refused."""
    with silent_name_server() as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)
        client.connect(("127.0.0.1", port))
        client.send(b"a query")
        with pytest.raises(TimeoutError):
            client.recv(10)
