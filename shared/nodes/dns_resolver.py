"""Names of hosts that workflows call, resolved in threads of their own and remembered for a moment.

A name server that does not answer blocks a thread for as long as the system's resolver likes (30 s and more): these are
not the threads that anything else here waits for, and a tenant has few of them. What is remembered is what is judged
and connected to, each time anew (see `outbound`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

import httpcore

from shared.platform.bulkhead import BulkheadThreads
from shared.platform.lru_cache import LruCache

LOOKUP_SECONDS = 5.0
# How long addresses are used again: the system's resolver does not say how long they hold.
KNOWN_SECONDS = 10.0
FAILED_SECONDS = 2.0
MAX_REMEMBERED = 1_000
MAX_LOOKUPS, LOOKUPS_OF_A_TENANT = 64, 4

_Name = tuple[str, str]


class _Answer(NamedTuple):
    addresses: tuple[str, ...]
    until: float


def system_lookup(host: str) -> tuple[str, ...]:
    """The host's addresses, as the system finds them; none where there are none. It blocks."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """The resolver of one event loop."""

    def __init__(
        self, lookup: Callable[[str], tuple[str, ...]] = system_lookup, lookup_seconds: float = LOOKUP_SECONDS
    ) -> None:
        """`lookup` gives a name's addresses and may block; after `lookup_seconds` nobody waits for it any more."""
        self._lookup, self._lookup_seconds = lookup, lookup_seconds
        self._threads = BulkheadThreads(MAX_LOOKUPS, LOOKUPS_OF_A_TENANT, "resolver")
        self._known: LruCache[_Name, _Answer] = LruCache(MAX_REMEMBERED)
        self._under_way: dict[_Name, asyncio.Task[tuple[str, ...]]] = {}

    async def addresses(self, tenant_id: str, host: str) -> tuple[str, ...]:
        """The host's addresses; `httpcore.ConnectError` when there are none, or none in time."""
        if _is_address(host):
            return (host,)
        name = (tenant_id, host.lower())
        known = self._known.get(name)
        if known is None or known.until <= time.monotonic():
            known = _Answer(await self._found(name), 0)
        if not known.addresses:
            raise httpcore.ConnectError(f"The name {host} could not be resolved.")
        return known.addresses

    def forget(self, tenant_id: str, host: str) -> None:
        """Makes the next request look the name up: nobody answered at the addresses it had."""
        self._known.take((tenant_id, host.lower()))

    async def _found(self, name: _Name) -> tuple[str, ...]:
        """Looked up once, however many ask at once, and given up together."""
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._look_up(name))
        try:
            async with asyncio.timeout(self._lookup_seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            self._remember(name, ())
            return ()

    async def _look_up(self, name: _Name) -> tuple[str, ...]:
        tenant_id, host = name
        try:
            found = await self._threads.run(tenant_id, lambda: self._lookup(host))
        finally:
            del self._under_way[name]
        self._remember(name, found)
        return found

    def _remember(self, name: _Name, addresses: tuple[str, ...]) -> None:
        seconds = KNOWN_SECONDS if addresses else FAILED_SECONDS
        self._known.put(name, _Answer(addresses, time.monotonic() + seconds))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
