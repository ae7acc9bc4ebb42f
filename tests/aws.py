"""A server that is all of AWS, by moto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from moto.server import ThreadedMotoServer


@contextmanager
def aws_server(port: int = 0) -> Iterator[str]:
    """Its URL. It knows of nothing: moto keeps what it is told for its whole process, whichever server was told."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    host, found_port = server.get_host_and_port()
    url = f"http://{host}:{found_port}"
    httpx.post(f"{url}/moto-api/reset").raise_for_status()
    try:
        yield url
    finally:
        server.stop()
