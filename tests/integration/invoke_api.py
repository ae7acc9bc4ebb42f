"""Lambda's Invoke API, as this process is pointed at it to wake drains."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.queue import wake
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


@contextmanager
def invoke_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    """An Invoke API that this process calls, with a drain's name, until the block is left."""
    found = Lambda()
    found.thread.start()
    for name, value in {
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
