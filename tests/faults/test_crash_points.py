"""kill -9 at every named point: no run is lost or stuck, and nothing is settled twice or without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.gateway import SupabaseGateway
from local.redis import RedisServer
from local.tokens import LocalKeys
from shared.commands.services import Services
from shared.domain.execution import ExecutionState
from shared.engine.expressions import ExpressionGuard
from shared.ids import new_id
from shared.nodes import outbound
from shared.queue.job import ExecutionJob
from shared.repositories.database import Database
from shared.settings import Settings
from tests.faults.dying_drain import POINTS
from tests.integration.engine.bench import HOOK, Bench, call, delay, request, transform
from tests.integration.engine.sink import Sink

RUNS = 3
ITEMS = 4
WAIT_SECONDS = 2.3
# Short enough for a test, and longer than a drain needs between two renewals.
LOCK_SECONDS = LEASE_SECONDS = 0.6
RECOVERY_SECONDS = 60.0
# The points that only a run which waits comes to.
WAITING = ("before_wait", "after_wait", "before_resume", "after_sweep")
SETTLING = ("NodeSucceeded", "NodeFailed", "NodeSkipped", "ItemSucceeded", "ItemFailed", "ExecutionSucceeded")


@dataclass
class Site:
    """A tenant's engine on a database of its own, with what a drain in another process needs to know."""

    bench: Bench
    sink: Sink
    environment: dict[str, str]

    async def die_at(self, point: str) -> int:
        """How a drain ended that was to die at a point."""
        arguments = (sys.executable, "-m", "tests.faults.dying_drain", point)
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env={**os.environ, **self.environment, "DRAIN_LINGER_SECONDS": "5"},
            cwd=Path(__file__).parents[2],
        )
        return await process.wait()

    async def violations(self, overdue_seconds: float) -> list[dict[str, Any]]:
        """What `/health/invariants` names."""
        return await self.bench.services.executions.invariant_violations(overdue_seconds)

    async def called(self, jobs: list[ExecutionJob]) -> list[ExecutionJob]:
        """The runs that these have called."""
        ids = [job.execution_id for job in jobs]
        rows = await self.bench.services.database.select("executions", "id", lambda query: query.in_("parent_id", ids))
        return [ExecutionJob(self.bench.tenant_id, row["id"], "resume") for row in rows]

    async def recover(self, jobs: list[ExecutionJob]) -> list[ExecutionState]:
        """The runs, once healthy drains have brought all of them to their end."""
        ends_at = time.monotonic() + RECOVERY_SECONDS
        while True:
            await self.bench.drain(10)
            rows = [await self.bench.services.executions.get(job.tenant_id, job.execution_id) for job in jobs]
            if all(row is not None and row["finished_at"] for row in rows):
                return [await self.bench.state(job) for job in jobs]
            assert time.monotonic() < ends_at, [row and row["status"] for row in rows]


@pytest.fixture(scope="module")
def own_gateway(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupabaseGateway]:
    """A database of this module's own: no other test's runs are in it."""
    folder = tmp_path_factory.mktemp("crashes")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


@pytest.fixture
async def site(own_gateway: SupabaseGateway, redis_server: RedisServer) -> AsyncIterator[Site]:
    """A tenant of this test's own."""
    tenant_id = new_id()
    async with Sink() as sink:
        environment = {
            "SUPABASE_URL": own_gateway.url,
            "SUPABASE_KEY": own_gateway.service_key,
            "REDIS_PORT": str(redis_server.port),
            "QUEUE_NAME": f"executions-{tenant_id}",
            "LOCK_SECONDS": str(LOCK_SECONDS),
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "DRAIN_LINGER_SECONDS": "0.3",
            "OUTBOUND_ALLOW": f"{tenant_id}=127.0.0.1:{sink.port}",
        }
        settings = Settings.from_environment(environment)
        services = Services(Database(settings.supabase_url, settings.supabase_key), settings)
        guard = ExpressionGuard()
        yield Site(Bench(services, guard, tenant_id), sink, environment)
        await guard.close()
        await services.close()
        await outbound.close()


async def everything(site: Site) -> str:
    """A workflow with every kind of step: an effect, a map of effects, a called run, a wait, and pure nodes."""
    url = site.sink.url
    body = {
        "nodes": [request("call", url + "/item", parameters={"body": "{% $item %}"}), transform("told", "{% $item %}")],
        "edges": [{"source": "call", "target": "told"}],
    }
    start = {"id": "start", "type": "manual_trigger"}
    called = await site.bench.publish([start, transform("double", "{% $trigger.body * 2 %}")], "start>double")
    nodes = [
        HOOK,
        request("first", url + "/first", parameters={"body": "{% $trigger.body.number %}"}),
        {"id": "each", "type": "map", "parameters": {"items": "{% $trigger.body.items %}", "body": body}},
        call("ask", called, parameters={"input": "{% $sum($input) %}"}),
        delay("pause", seconds="{% $trigger.body.pause %}"),
        transform("last", "{% $nodes.ask + $trigger.body.number %}"),
    ]
    nodes[2]["parameters"]["max_concurrency"] = 2
    return await site.bench.publish(nodes, "hook>first", "first>each", "each>ask", "ask>pause", "pause>last")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_drain_killed_at_a_point_leaves_nothing_undone_and_nothing_done_twice(site: Site, point: str) -> None:
    """Every run ends as if nothing had been; each node and item is settled once, each effect has one key and sends the
    same again if it must; what is stored can be derived again."""
    workflow_id = await everything(site)
    pause = WAIT_SECONDS if point in WAITING else 0
    bodies = [
        {"number": number, "pause": pause, "items": [number * 10 + n for n in range(ITEMS)]} for number in range(RUNS)
    ]
    jobs = [site.bench.delivery(workflow_id, body) for body in bodies]
    await site.bench.services.queue.enqueue(jobs)
    if point in ("before_resume", "after_sweep"):
        await site.bench.drain(10)
        assert {(await site.bench.state(job)).status for job in jobs} == {"waiting"}
        await asyncio.sleep(WAIT_SECONDS if point == "after_sweep" else 0)
    assert await site.die_at(point) == -signal.SIGKILL
    assert await site.violations(30) == []
    states = await site.recover(jobs)
    assert [(state.status, state.output) for state in states] == [
        ("succeeded", 2 * sum(body["items"]) + body["number"]) for body in bodies
    ]
    assert await site.violations(0) == []
    called = await site.called(jobs)
    assert len(called) == RUNS
    for job in (*jobs, *called):
        facts = [event for event in await site.bench.events(job) if event.event_type in SETTLING]
        times = Counter((event.payload.get("node_id"), event.payload.get("index")) for event in facts)
        assert set(times.values()) == {1}
        assert (await site.bench.verify(job))["first_difference"] is None
    sent: dict[str, set[bytes]] = {}
    for one in site.sink.received:
        sent.setdefault(one.key, set()).add(one.body)
    assert sorted(json.loads(body) for bodies in sent.values() for body in bodies) == sorted(
        value for body in bodies for value in (body["number"], *body["items"])
    )
