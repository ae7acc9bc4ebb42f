"""Waking a drain by Lambda's Invoke API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shared.queue import wake
from shared.queue.execution_queue import ExecutionQueue
from shared.settings import settings


class Lambda:
    """An Invoke API that notes its calls and answers with a status."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.status = 202
        noted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                noted.calls.append((self.path, self.headers["x-amz-invocation-type"]))
                self.send_response(noted.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    """The Invoke API that this process is pointed at, with a drain's name."""
    found = Lambda()
    found.thread.start()
    for name, value in {
        "SUPABASE_URL": "http://127.0.0.1:1",
        "SUPABASE_KEY": "unused",
        "DRAIN_FUNCTION_NAME": "drain",
        "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{found.server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    wake._client.cache_clear()
    yield found
    wake._client().close()
    wake._client.cache_clear()
    settings.cache_clear()
    found.server.shutdown()
    found.thread.join()
    found.server.server_close()


async def test_one_of_many_invokes_the_drain(queue: ExecutionQueue, invoked: Lambda) -> None:
    """An asynchronous invocation, by whoever comes first."""
    assert [await wake.wake_drain(queue) for _ in range(3)] == [True, False, False]
    assert invoked.calls == [("/2015-03-31/functions/drain/invocations", "Event")]


async def test_a_failed_invocation_is_survived(queue: ExecutionQueue, invoked: Lambda) -> None:
    """The job is in the queue; the schedule's drain will find it."""
    invoked.status = 500
    assert not await wake.wake_drain(queue)


async def test_without_a_drain_nobody_is_woken(
    queue: ExecutionQueue, invoked: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no function is named, only the schedule drains."""
    monkeypatch.delenv("DRAIN_FUNCTION_NAME")
    settings.cache_clear()
    assert not await wake.wake_drain(queue)
    assert invoked.calls == []
