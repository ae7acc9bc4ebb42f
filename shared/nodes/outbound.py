"""HTTP clients for requests from tenants' workflows, isolated from our own network and from each other.

`guarded_transport` checks where a connection may lead. Each tenant has a connection pool of its own, because a server
may authenticate a connection instead of each request. A tenant's requests under way are bounded by its share (see
`shared.platform.bulkhead`).
"""

from __future__ import annotations

import logging
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpcore
import httpx

from shared.nodes.dns_resolver import Resolver
from shared.nodes.guarded_transport import GuardedBackend, GuardedTransport
from shared.platform.bulkhead import Bulkhead


def allowed_of(tenant_id: str, entries: Iterable[str]) -> frozenset[str]:
    """The hosts (`host` or `host:port`) that the allow-list's entries `tenant_id=host[:port]` open for a tenant."""
    grants = (entry.partition("=") for entry in entries)
    return frozenset(host.lower() for tenant, _, host in grants if tenant == tenant_id and host)


class Limits(NamedTuple):
    """One process's limits: requests under way in all and of one tenant, open connections (idle ones included), and
    clients. Beyond the last two, the least recently used idle ones are closed."""

    requests: int = 256
    requests_of_a_tenant: int = 64
    connections: int = 400
    clients: int = 256


LIMITS = Limits()


class _Client:
    """One tenant's client, and how many requests use it at the moment."""

    def __init__(self, transport: GuardedTransport) -> None:
        self._pool, self.users = transport.pool, 0
        self.http = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            # Stores no cookies: one run's would be sent with another run's requests, and with redirects.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # By default httpx asks for codings and decodes them without a bound (see `content_decoding`).
            headers={"accept-encoding": "identity"},
            timeout=None,  # noqa: S113  # each request as a whole is under its node's timeout
        )

    @property
    def connections(self) -> list[httpcore.AsyncConnectionInterface]:
        """The open ones; the pool drops closed ones when it is next used."""
        return [connection for connection in self._pool.connections if not connection.is_closed()]


class Outbound:
    """The outbound HTTP clients of one event loop."""

    def __init__(
        self, resolver: Resolver | None = None, context: ssl.SSLContext | None = None, limits: Limits = LIMITS
    ) -> None:
        """`context` says whose certificates are trusted; unset, the usual authorities'. Loading them takes 20 ms."""
        # At INFO httpx logs each URL, which may contain a secret.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._resolver = resolver or Resolver()
        self._context = context or httpx.create_ssl_context(trust_env=False)
        self._limits = limits
        self._places = Bulkhead(limits.requests, limits.requests_of_a_tenant)
        self._clients: OrderedDict[tuple[str, frozenset[str]], _Client] = OrderedDict()

    @asynccontextmanager
    async def client(self, tenant_id: str, allowed: frozenset[str]) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one request of the tenant, as soon as its share has room; `allowed` as for `GuardedBackend`.

        A pooled connection is not checked again, so pools are separate by tenant and by allow-list.
        """
        async with self._places.place(tenant_id):
            # Once it has its place: while a request waits for one, `_make_room` may close its client.
            client = self._client(tenant_id, allowed)
            client.users += 1
            try:
                yield client.http
            finally:
                client.users -= 1

    async def close(self) -> None:
        """Ends all connections."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.http.aclose()

    def _client(self, tenant_id: str, allowed: frozenset[str]) -> _Client:
        key = (tenant_id, allowed)
        if key not in self._clients:
            backend = GuardedBackend(self._resolver, tenant_id, allowed, self._make_room)
            self._clients[key] = _Client(GuardedTransport(self._context, backend, self._limits.requests_of_a_tenant))
        self._clients.move_to_end(key)
        return self._clients[key]

    async def _make_room(self) -> None:
        """Closes idle connections and clients beyond the limits, the least recently used first."""
        excess = sum(len(client.connections) for client in self._clients.values()) - self._limits.connections
        surplus = len(self._clients) - self._limits.clients
        for key, client in list(self._clients.items()):
            if excess <= 0 and surplus <= 0:
                return
            if not client.users and surplus > 0:
                excess, surplus = excess - len(client.connections), surplus - 1
                del self._clients[key]
                await client.http.aclose()
                continue
            idle = [connection for connection in client.connections if connection.is_idle()]
            for connection in idle[: max(0, excess)]:
                excess -= 1
                await connection.aclose()


_outbound: Outbound | None = None


def outbound() -> Outbound:
    """This process's `Outbound`, made on first use."""
    if _outbound is None:
        use(Outbound())
    assert _outbound is not None
    return _outbound


def use(made: Outbound | None) -> None:
    """Replaces the process's `Outbound`; with `None` a new one is made on next use."""
    global _outbound  # one per process
    _outbound = made


async def close() -> None:
    """Ends all connections; the next request makes new ones."""
    if _outbound is not None:
        await _outbound.close()
    use(None)
