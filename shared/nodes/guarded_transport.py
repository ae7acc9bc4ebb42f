"""An httpx transport that connects to public addresses alone (the guard against server-side request forgery).

A name is resolved here, its addresses are checked, and the connection goes to the very address that was checked, so DNS
rebinding changes nothing. This happens below httpx, on every connection and so on every redirect; TLS still verifies
the name.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore
import httpx

from shared.nodes.dns_resolver import Resolver
from shared.nodes.public_addresses import is_public

KEPT_SECONDS = 20.0


class OutboundRefusedError(Exception):
    """The address is not one that workflows may reach."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to the hosts in `allowed`, alone."""

    def __init__(
        self,
        resolver: Resolver,
        tenant_id: str,
        allowed: frozenset[str] = frozenset(),
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`allowed` are hosts as in a URL, each with or without a port; `prepare` is called before each connection."""
        self._resolver, self._tenant_id, self._allowed, self._prepare = resolver, tenant_id, allowed, prepare
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first permitted address of the host that accepts one; a host without any raises
        `OutboundRefusedError`."""
        addresses = await self._resolver.addresses(self._tenant_id, host)
        # Private addresses only for hosts on the allow-list, by name: what such a name resolves to is the operator's.
        if host.lower() not in self._allowed and f"{host.lower()}:{port}" not in self._allowed:
            addresses = tuple(address for address in addresses if is_public(address))
        if not addresses:
            raise OutboundRefusedError(f"{host} is not an address that workflows may reach.")
        if self._prepare is not None:
            await self._prepare()
        # A host with several addresses is reachable through any of them; the error of the last one counts.
        for last, address in zip([*[False] * (len(addresses) - 1), True], addresses, strict=True):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                if last:
                    # The name may have moved since it was looked up: the next attempt asks again.
                    self._resolver.forget(self._tenant_id, host)
                    raise
        raise AssertionError("unreachable: the last address connects or raises")

    async def connect_unix_socket(self, path: str, *_arguments: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        """Always raises `OutboundRefusedError`: a socket file is not on the internet."""
        raise OutboundRefusedError(f"{path} is not an address that workflows may reach.")

    async def sleep(self, seconds: float) -> None:
        """Waits between httpcore's own attempts."""
        await self._inner.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a `GuardedBackend`."""

    def __init__(self, context: ssl.SSLContext, backend: GuardedBackend, max_connections: int) -> None:
        """Up to `max_connections`, all of which may stay open when idle, for `KEPT_SECONDS`."""
        # A proxy from the environment would connect in our place, past the guard.
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the network backend; its transport is a thin layer over this pool.
        self._pool = self.pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=backend,
        )
