"""DNS lookups of hosts that workflows call, in a thread pool of their own, with a short cache.

A name server that does not answer blocks a thread for as long as the system's resolver waits (30 s and more). So
lookups share no threads with anything else, and a tenant may occupy few of them. Cached addresses are checked anew for
each connection (see `guarded_transport`).
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
# How long addresses are cached: the system's resolver does not tell their TTL.
KNOWN_SECONDS = 10.0
FAILED_SECONDS = 2.0
MAX_REMEMBERED = 1_000
MAX_LOOKUPS, LOOKUPS_OF_A_TENANT = 64, 4

_Name = tuple[str, str]


class _Answer(NamedTuple):
    addresses: tuple[str, ...]
    until: float


def system_lookup(host: str) -> tuple[str, ...]:
    """The host's addresses, from the system's resolver; an empty tuple where there are none. It blocks."""
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))


class Resolver:
    """The resolver of one event loop."""

    def __init__(
        self, lookup: Callable[[str], tuple[str, ...]] = system_lookup, lookup_seconds: float = LOOKUP_SECONDS
    ) -> None:
        """`lookup` returns a name's addresses and may block; after `lookup_seconds` its callers stop waiting for it."""
        self._lookup, self._lookup_seconds = lookup, lookup_seconds
        self._threads = BulkheadThreads(MAX_LOOKUPS, LOOKUPS_OF_A_TENANT, "resolver")
        self._known: LruCache[_Name, _Answer] = LruCache(MAX_REMEMBERED)
        self._under_way: dict[_Name, asyncio.Task[tuple[str, ...]]] = {}

    async def addresses(self, tenant_id: str, host: str) -> tuple[str, ...]:
        """The host's addresses; `httpcore.ConnectError` when there are none, or none in time."""
        if _is_address(host):
            return (host,)
        # By tenant: one whose names are slow to resolve must not slow down another's, nor learn what it looked up.
        name = (tenant_id, host.lower())
        known = self._known.get(name)
        if known is None or known.until <= time.monotonic():
            known = _Answer(await self._shared_lookup(name), 0)
        if not known.addresses:
            raise httpcore.ConnectError(f"The name {host} could not be resolved.")
        return known.addresses

    def forget(self, tenant_id: str, host: str) -> None:
        """Drops the name from the cache, after a connection to none of its addresses succeeded."""
        self._known.take((tenant_id, host.lower()))

    async def _shared_lookup(self, name: _Name) -> tuple[str, ...]:
        """The addresses from one lookup that concurrent callers share; empty after the timeout."""
        task = self._under_way.get(name)
        if task is None:
            task = self._under_way[name] = asyncio.create_task(self._look_up(name))
        try:
            async with asyncio.timeout(self._lookup_seconds):
                # Shielded: one caller's cancellation must not end the lookup for the others.
                return await asyncio.shield(task)
        except TimeoutError:
            # The lookup goes on in its thread; until the entry expires, no other caller waits for it as well.
            self._remember(name, ())
            return ()

    async def _look_up(self, name: _Name) -> tuple[str, ...]:
        tenant_id, host = name
        try:
            addresses = await self._threads.run(tenant_id, lambda: self._lookup(host))
        finally:
            del self._under_way[name]
        self._remember(name, addresses)
        return addresses

    def _remember(self, name: _Name, addresses: tuple[str, ...]) -> None:
        seconds = KNOWN_SECONDS if addresses else FAILED_SECONDS
        self._known.put(name, _Answer(addresses, time.monotonic() + seconds))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
