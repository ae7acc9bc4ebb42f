"""One tenant's slow hosts take no other's places: not its requests', not its connections', not its calls of AWS."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared.aws import calls
from shared.nodes import outbound
from shared.nodes.dns_resolver import Resolver
from shared.nodes.node_kinds import Completed, EffectContext, EffectPermissions, NodeError
from shared.nodes.registry import node_type
from tests.faults.hanging_servers import silent_host, trickling_host
from tests.integration.engine.sink import Sink

GREEDY, MODEST = "0192aaaa-0000-7000-8000-000000000001", "0192aaaa-0000-7000-8000-000000000002"


@pytest.fixture(autouse=True)
async def _no_connections_left() -> AsyncIterator[None]:
    yield
    await outbound.close()


async def request(tenant_id: str, port: int, allowed: tuple[int, ...], timeout_seconds: float) -> Completed:
    """One request of the tenant's to this machine; both tenants may reach the same ports of it."""
    type_ = node_type("http_request")
    permissions = EffectPermissions(tuple(f"{tenant_id}=127.0.0.1:{allowed_port}" for allowed_port in allowed))
    effect = EffectContext(tenant_id, "key", timeout_seconds, time.time, permissions)
    return await type_.kind.perform(type_.parse({"url": f"http://127.0.0.1:{port}/"}), effect)


async def test_slow_host_of_one_tenant_holds_up_no_other() -> None:
    """It has more requests there than a process may have at all, and none of them comes back; another tenant's is
    answered within its time."""
    async with Sink() as sink:
        with silent_host() as silent:
            ports = (silent, sink.port)
            slow = [asyncio.create_task(request(GREEDY, silent, ports, 60)) for _ in range(300)]
            await asyncio.sleep(0.5)  # whatever can begin has begun
            try:
                output = (await request(MODEST, sink.port, ports, 10)).output
            finally:
                for task in slow:
                    task.cancel()
                await asyncio.gather(*slow, return_exceptions=True)
    assert output["status"] == 200


async def test_nodes_time_begins_when_it_is_its_turn() -> None:
    """More requests than a tenant may have at once, for which together a node has no time: none of them is late."""
    outbound.use(outbound.Outbound(limits=outbound.Limits(requests=4, requests_of_a_tenant=1)))
    async with Sink(pause_seconds=0.15) as sink:
        tasks = [request(GREEDY, sink.port, (sink.port,), 1.5) for _ in range(14)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [error for error in results if isinstance(error, BaseException)]
    assert failed == []


@pytest.mark.parametrize("hosts", [silent_host, trickling_host])
async def test_time_is_for_the_answer_as_a_whole(hosts: Any) -> None:
    """Whether a host says nothing or a byte now and then."""
    with hosts() as port, pytest.raises(NodeError) as error:
        await request(GREEDY, port, (port,), 0.6)
    assert error.value.code == "timeout"


async def test_tenants_share_no_connection() -> None:
    """Not even to the same host with the same rights: a server may take a connection for a caller whom it knows."""
    with answering_host() as (port, connections):
        for tenant in (GREEDY, MODEST, GREEDY, MODEST):
            await request(tenant, port, (port,), 10)
        assert len(set(connections)) == 2
        assert connections[:2] == connections[2:]


async def test_idle_connections_are_bounded() -> None:
    """Many tenants leave one each behind: those that were idle for longest are closed."""
    world = outbound.Outbound(limits=outbound.Limits(connections=5, clients=7))
    outbound.use(world)
    with answering_host() as (port, _):
        for number in range(20):
            await request(f"tenant {number}", port, (port,), 10)
        open_connections = [client.connections for client in world._clients.values()]
        assert sum(map(len, open_connections)) <= 6
        assert len(world._clients) <= 8
        await request("tenant 19", port, (port,), 10)


@contextmanager
def answering_host() -> Iterator[tuple[int, list[tuple[str, int]]]]:
    """A server that keeps its connections: its port, and from where each request came."""
    callers: list[tuple[str, int]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            callers.append(self.client_address)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _served(Handler) as port:
        yield port, callers


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def aws() -> Iterator[tuple[int, threading.Event]]:
    """An AWS whose function `slow` answers when the event is set, and every other at once."""
    freed = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if "slow" in self.path:
                freed.wait(60)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with _served(Handler) as port:
        try:
            yield port, freed
        finally:
            freed.set()


async def test_slow_function_of_one_tenant_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It calls one more often than a process can at all; another tenant's call is answered within its time, and so is
    whatever else needs a thread."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    calls._client.cache_clear()
    with aws() as (port, freed):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        slow = [asyncio.create_task(invoke(GREEDY, "slow", 30)) for _ in range(calls.MAX_CALLS + 8)]
        await asyncio.sleep(0)
        assert (await invoke(MODEST, "quick", 10)).output["payload"] == {}
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10) == 1
        assert not any(task.done() for task in slow)
        freed.set()
        await asyncio.gather(*slow)
    calls._client.cache_clear()


async def invoke(tenant_id: str, name: str, timeout_seconds: float) -> Completed:
    """One call of a Lambda function."""
    type_ = node_type("invoke_lambda")
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    effect = EffectContext(tenant_id, "key", timeout_seconds, time.time, EffectPermissions(aws=("*=*",)))
    return await type_.kind.perform(type_.parse({"function_name": arn}), effect)


async def test_name_that_nobody_answers_for_is_a_network_error_in_time() -> None:
    """Its tenant is told so after the time of a look-up, and meanwhile asks for another name as ever."""
    done = threading.Event()

    def lookup(host: str) -> tuple[str, ...]:
        if host == "dead.test":
            done.wait(60)
        return ("127.0.0.1",)

    outbound.use(outbound.Outbound(Resolver(lookup, lookup_seconds=0.5)))
    with answering_host() as (port, callers):
        dead = [asyncio.create_task(named("dead.test", port, 30)) for _ in range(3)]
        assert (await named("live.test", port, 30)).output["status"] == 200
        failed = await asyncio.gather(*dead, return_exceptions=True)
        assert len(callers) == 1
    done.set()
    assert {getattr(error, "code", None) for error in failed} == {"network"}


async def named(host: str, port: int, timeout_seconds: float) -> Completed:
    """One request to a name that the tenant may reach."""
    type_ = node_type("http_request")
    effect = EffectContext(GREEDY, "key", timeout_seconds, time.time, EffectPermissions((f"{GREEDY}={host}",)))
    return await type_.kind.perform(type_.parse({"url": f"http://{host}:{port}/"}), effect)


async def test_name_is_judged_by_its_address_however_well_it_is_remembered() -> None:
    """What a look-up found for one list of hosts is judged again under another, and at each connection."""
    outbound.use(outbound.Outbound(Resolver(lambda _host: ("127.0.0.1",))))
    with answering_host() as (port, callers):
        assert (await named("inside.test", port, 10)).output["status"] == 200
        type_ = node_type("http_request")
        refused = type_.kind.perform(
            type_.parse({"url": f"http://inside.test:{port}/"}),
            EffectContext(GREEDY, "key", 10, time.time, EffectPermissions()),
        )
        with pytest.raises(NodeError) as error:
            await refused
        assert error.value.code == "outbound_refused"
        assert len(callers) == 1
