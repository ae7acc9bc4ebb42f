"""`python -m local sink`: a server on this machine that answers 200 to every request and prints it.

Paths that begin with `/flaky` are answered 503 the first time that an `Idempotency-Key` is seen: to try what becomes of
runs that fail.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from local.stack.process import port

ANSWER = b'{"ok": true}'
BUSY = b'{"ok": false}'
MAX_SHOWN_BYTES = 500


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def server(number: int, received: Callable[[Received], object]) -> ThreadingHTTPServer:
    """A server that calls `received` with each request; `number` is its port, 0 any free one."""
    seen: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            received(Received(self.command, self.path, headers, body))
            key = headers.get("idempotency-key", "")
            status, answer = (503, BUSY) if self.path.startswith("/flaky") and key not in seen else (200, ANSWER)
            seen.add(key)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take  # noqa: N815  # the base class looks for these names

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # the base class's name
            """Log nothing: `received` prints the requests."""

    return ThreadingHTTPServer(("127.0.0.1", number), Handler)


@contextmanager
def sink() -> Iterator[tuple[str, list[Received]]]:
    """A running sink's URL, and the requests that it has received so far."""
    requests: list[Received] = []
    running = server(0, requests.append)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", requests
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def main(arguments: list[str] | None = None) -> int:
    """0 after Ctrl-C; each request is printed. 1 when the port cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m local sink", description=__doc__)
    parser.add_argument("--port", type=port, default=9000)
    options = parser.parse_args(arguments)
    try:
        running = server(options.port, _show)
    except OSError as error:
        print(f"Port {options.port} cannot be used: {error.strerror}. Choose another with --port.", file=sys.stderr)
        return 1
    print(f"listening on http://127.0.0.1:{running.server_port}", flush=True)
    try:
        running.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        running.server_close()
    return 0


def _show(request: Received) -> None:
    key = request.headers.get("idempotency-key", "none")
    body = request.body[:MAX_SHOWN_BYTES].decode(errors="replace")
    print(f"{request.method} {request.path}\n  Idempotency-Key: {key}\n  {body}", flush=True)
