"""Requests from tenants' workflows to the world, kept away from our own network.

A name is resolved here, its addresses are judged, and the connection goes to the very address that was judged, so a
second answer of the name server changes nothing. This happens below httpx, on every connection and so on every
redirect; TLS still verifies the name. What the addresses mean: the IANA special-purpose registries,
https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sister.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

MAX_REDIRECTS = 5
# Special ranges that older versions of the standard library take for public.
_ALSO_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class OutboundRefusedError(Exception):
    """The address is not one that workflows may reach."""


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet, in whatever IPv6 wrapping an IPv4 address comes."""
    address = ipaddress.ip_address(text.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
    if any(address in network for network in _ALSO_SPECIAL):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return ipaddress.IPv4Address(address.packed[-4:]) if address in _NAT64 else None


def allowed_of(tenant_id: str, entries: Iterable[str]) -> frozenset[str]:
    """The hosts (`host` or `host:port`) that the allow-list's entries `tenant_id=host[:port]` open for a tenant."""
    found = (entry.partition("=") for entry in entries)
    return frozenset(host.lower() for tenant, _, host in found if tenant == tenant_id and host)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to the hosts in `allowed`, alone."""

    def __init__(self, allowed: frozenset[str] = frozenset()) -> None:
        """`allowed` are hosts as in a URL, each with or without a port."""
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first judged address of the host that accepts it."""
        addresses = await _resolve(host, port)
        if host.lower() not in self._allowed and f"{host.lower()}:{port}" not in self._allowed:
            addresses = [address for address in addresses if is_public(address)]
        if not addresses:
            raise OutboundRefusedError(f"{host} is not an address that workflows may reach.")
        for last, address in zip([*[False] * (len(addresses) - 1), True], addresses, strict=True):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError:
                if last:
                    raise
        raise AssertionError("unreachable: the last address connects or raises")

    async def connect_unix_socket(self, path: str, *_arguments: Any, **_options: Any) -> httpcore.AsyncNetworkStream:
        """Never: a socket file is not on the internet."""
        raise OutboundRefusedError(f"{path} is not an address that workflows may reach.")

    async def sleep(self, seconds: float) -> None:
        """Waits between httpcore's own attempts."""
        await self._inner.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over guarded connections."""

    def __init__(self, context: ssl.SSLContext, allowed: frozenset[str]) -> None:
        """`context` is shared by all clients: loading the certificates takes 20 ms."""
        super().__init__(verify=context, trust_env=False)
        # httpx has no argument for the network backend; its transport is a thin layer over this pool.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=200,
            max_keepalive_connections=50,
            keepalive_expiry=20.0,
            network_backend=GuardedBackend(allowed),
        )


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise httpcore.ConnectError(f"The name {host} could not be resolved.") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


_clients: dict[frozenset[str], httpx.AsyncClient] = {}
_context: ssl.SSLContext | None = None


def client_for(allowed: frozenset[str]) -> httpx.AsyncClient:
    """This process's client for tenants with this allow-list.

    One per list: a kept connection is not judged again, so tenants with different rights never share one.
    """
    global _context  # one per process
    if allowed not in _clients:
        # It writes each URL into the log, and a secret may stand in one.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        _context = _context or httpx.create_ssl_context(trust_env=False)
        transport = GuardedTransport(_context, allowed)
        _clients[allowed] = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            # It keeps none: what one run is given, no other run's request carries, and no redirect either.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # httpx would ask for codings, which are read step by step here (see `shared/nodes/decoding.py`).
            headers={"accept-encoding": "identity"},
            max_redirects=MAX_REDIRECTS,
            timeout=None,  # noqa: S113  # each request as a whole is under its node's timeout
        )
    return _clients[allowed]


async def close() -> None:
    """Ends all connections; the next request makes new ones."""
    clients = list(_clients.values())
    _clients.clear()
    for client in clients:
        await client.aclose()
