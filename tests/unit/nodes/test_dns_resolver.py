"""Names are resolved in a tenant's own few threads, within a time, and remembered for a moment."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpcore
import pytest

from shared.nodes.dns_resolver import LOOKUPS_OF_A_TENANT, Resolver, system_lookup
from tests.faults.hanging_servers import silent_name_server


@dataclass
class Names:
    """A resolver's lookup, blocking as the system's is. Names under `dead.` are asked of a server that is silent."""

    port: int
    asked: list[str] = field(default_factory=list)
    given_up: threading.Event = field(default_factory=threading.Event)

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked.append(host)
        if not host.startswith("dead."):
            return ("192.0.2.1",) if host.startswith("live.") else ()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
            query.settimeout(0.05)
            while not self.given_up.is_set():
                query.sendto(host.encode(), ("127.0.0.1", self.port))
                try:
                    query.recv(512)
                except TimeoutError:
                    continue
        return ()


@pytest.fixture
def names() -> Iterator[Names]:
    """Names, some of which nobody answers for until the test is over."""
    with silent_name_server() as port:
        names = Names(port)
        yield names
        names.given_up.set()


async def ended(resolver: Resolver, names: Names) -> None:
    """Returns when no lookup is under way."""
    names.given_up.set()
    while resolver._under_way:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_dead_name_server_of_one_tenant_holds_up_no_other(names: Names) -> None:
    """However many names it asks for: other tenants' are resolved, and the threads that all share are free."""
    resolver = Resolver(names, lookup_seconds=0.3)
    dead = [asyncio.create_task(resolver.addresses("one", f"dead.{number}")) for number in range(100)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(resolver.addresses("another", "live.x"), 10) == ("192.0.2.1",)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10) == 1
    errors = await asyncio.wait_for(asyncio.gather(*dead, return_exceptions=True), 20)
    assert {type(error) for error in errors} == {httpcore.ConnectError}
    assert len([host for host in names.asked if host.startswith("dead.")]) == LOOKUPS_OF_A_TENANT
    await ended(resolver, names)


async def test_name_is_looked_up_once_for_all_who_ask(names: Names) -> None:
    """Also when the first of them goes away; what was found is remembered, and what was not for a moment as well."""
    resolver = Resolver(names)
    first = asyncio.create_task(resolver.addresses("one", "live.x"))
    await asyncio.sleep(0)
    first.cancel()
    for _ in range(3):
        assert await asyncio.gather(*(resolver.addresses("one", "LIVE.x") for _ in range(3))) == [("192.0.2.1",)] * 3
        with pytest.raises(httpcore.ConnectError):
            await resolver.addresses("one", "gone.x")
    assert sorted(names.asked) == ["gone.x", "live.x"]
    await resolver.addresses("another", "live.x")  # a tenant learns nothing of what another asked
    resolver.forget("one", "live.x")
    await resolver.addresses("one", "live.x")
    assert names.asked.count("live.x") == 3


async def test_memory_is_bounded(names: Names) -> None:
    """Made-up names push out the oldest."""
    resolver = Resolver(names)
    for number in range(1_100):
        resolver._remember(("one", f"gone.{number}"), ())
    assert len(resolver._known) == 1_000
    await resolver.addresses("one", "live.x")
    assert len(resolver._known) == 1_000


async def test_address_is_not_looked_up(names: Names) -> None:
    """It is what it is; whether it may be reached is judged elsewhere."""
    assert await Resolver(names).addresses("one", "::1") == ("::1",)
    assert names.asked == []


@pytest.mark.parametrize("host", ["no-such-host.invalid", "é" * 100, "a..b", ""])
def test_system_finds_nothing(host: str) -> None:
    """A name that is none is one without addresses; it raises nothing."""
    assert system_lookup(host) == () or host == ""
