"""Keys that are fetched: bounded, remembered, and never from our own network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.webhooks.signatures.fetched_keys import MAX_DOCUMENT_BYTES, FetchedKeys, fetch_document


class Site(BaseHTTPRequestHandler):
    """A provider's key server."""

    asked: list[str] = []  # noqa: RUF012  # shared by the handler's instances on purpose

    def do_GET(self) -> None:
        """One document, a redirect, one that is too large, and nothing."""
        Site.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/key")
            self.end_headers()
            return
        self.send_response(200 if not self.path.startswith("/gone") else 404)
        self.end_headers()
        self.wfile.write(b"x" * (MAX_DOCUMENT_BYTES + 1) if self.path == "/large" else b"a key")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    """The key server's host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Site.asked.clear()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
async def _no_clients_left() -> object:
    yield
    from shared.nodes import outbound

    await outbound.close()


@pytest.mark.parametrize(("path", "found"), [("/key", b"a key"), ("/moved", None), ("/large", None), ("/gone", None)])
async def test_a_document_is_what_is_there_and_small(host: str, path: str, found: bytes | None) -> None:
    """No redirect is followed, and nothing large is kept."""
    assert await fetch_document(f"http://{host}{path}", frozenset({host})) == found


async def test_our_own_network_is_not_asked(host: str) -> None:
    """A provider's name that points inwards is refused."""
    assert await fetch_document(f"http://{host}/key", frozenset()) is None
    assert Site.asked == []


async def test_made_up_places_push_no_key_out(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged deliveries name places that are silent: those are forgotten first, so that real keys stay known."""
    monkeypatch.setattr("shared.webhooks.signatures.fetched_keys.MAX_REMEMBERED", 3)
    keys, allowed = FetchedKeys(), frozenset({host})
    for path in ("/key", "/gone", "/gone?1", "/gone?2", "/gone?3", "/key"):
        await keys.document(f"http://{host}{path}", 60, allowed)
    assert Site.asked.count("/key") == 1


async def test_a_document_is_asked_for_once(host: str) -> None:
    """However many deliveries want it at once, and afterwards; failures too."""
    keys, allowed = FetchedKeys(), frozenset({host})
    for path in ("/key", "/gone"):
        await asyncio.gather(*(keys.document(f"http://{host}{path}", 60, allowed) for _ in range(5)))
        await keys.document(f"http://{host}{path}", 60, allowed)
    assert Site.asked == ["/key", "/gone"]
    assert await keys.document(f"http://{host}/key", 60) is None
