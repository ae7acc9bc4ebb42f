"""Waking a drain by Lambda's Invoke API."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.queue import wake
from shared.queue.execution_queue import ExecutionQueue
from shared.settings import settings


class Lambda:
    """An Invoke API that notes its calls and answers with a status."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.payloads: list[dict[str, str]] = []
        self.status = 202
        self.goes_on = threading.Event()
        self.goes_on.set()
        noted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                noted.calls.append((self.path, self.headers["x-amz-invocation-type"]))
                noted.payloads.append(json.loads(body))
                noted.goes_on.wait()
                self.send_response(noted.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
    wake._client()  # to import boto3 takes longer than a waking, on a busy machine
    yield found
    found.goes_on.set()
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


async def test_nobody_wakes_another_until_the_one_that_was_woken_has_come(
    queue: ExecutionQueue, invoked: Lambda
) -> None:
    """Other drains say every few seconds that they live; only the one that the waking made ends it."""
    assert await wake.wake_drain(queue)
    (payload,) = invoked.payloads
    assert payload["source"] == "wake"
    await queue.announce("another", 10)
    await queue.announce("woken by somebody else", 10, "another token")
    assert not await wake.wake_drain(queue)
    assert await queue.announce("the one", 10, payload["waking"]) == 3
    assert await wake.wake_drain(queue)


async def test_nobody_is_woken_when_there_are_enough(
    queue: ExecutionQueue, invoked: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as may be: those that have not come yet count by their mark, and dead ones do not count."""
    monkeypatch.setenv("MAX_DRAINS", "2")
    settings.cache_clear()
    await queue.announce("one", 10)
    await queue.announce("dead", 0.01)
    await asyncio.sleep(0.05)
    assert await wake.wake_drain(queue)
    await queue.announce("two", 10, invoked.payloads[-1]["waking"])
    assert not await wake.wake_drain(queue)
    await queue.withdraw("one")
    assert await wake.wake_drain(queue)


async def test_waking_that_hangs_holds_nobody_up(queue: ExecutionQueue, invoked: Lambda) -> None:
    """Neither who wakes, beyond some seconds, nor the threads on which names are resolved."""
    invoked.goes_on.clear()
    began = time.monotonic()
    assert not await wake.wake_drain(queue)
    assert time.monotonic() - began < 2 * wake.WAKE_SECONDS
    assert wake._threads()._max_workers == wake.MAX_THREADS
    await asyncio.wait_for(asyncio.to_thread(str), 1)
