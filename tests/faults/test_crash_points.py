"""kill -9 at every named point: no run is lost or stuck, and nothing is settled twice or without a trace."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests.faults.dying_drain import POINTS
from tests.faults.harness import FaultHarness
from tests.integration.engine.harness import HOOK, call, delay, request, transform

RUNS = 3
ITEMS = 4
WAIT_SECONDS = 2.3
# The points that only a run which waits comes to.
WAITING = ("before_wait", "after_wait", "before_resume", "after_sweep")
SETTLING = ("NodeSucceeded", "NodeFailed", "NodeSkipped", "ItemSucceeded", "ItemFailed", "ExecutionSucceeded")


async def everything(faults: FaultHarness) -> str:
    """A workflow with every kind of step: an effect, a map of effects, a called run, a wait, and pure nodes."""
    url = faults.sink.url
    body = {
        "nodes": [request("call", url + "/item", parameters={"body": "{% $item %}"}), transform("told", "{% $item %}")],
        "edges": [{"source": "call", "target": "told"}],
    }
    start = {"id": "start", "type": "manual_trigger"}
    called = await faults.harness.publish([start, transform("double", "{% $trigger.body * 2 %}")], "start>double")
    nodes = [
        HOOK,
        request("first", url + "/first", parameters={"body": "{% $trigger.body.number %}"}),
        {"id": "each", "type": "map", "parameters": {"items": "{% $trigger.body.items %}", "body": body}},
        call("ask", called, parameters={"input": "{% $sum($input) %}"}),
        delay("pause", seconds="{% $trigger.body.pause %}"),
        transform("last", "{% $nodes.ask + $trigger.body.number %}"),
    ]
    nodes[2]["parameters"]["max_concurrency"] = 2
    return await faults.harness.publish(nodes, "hook>first", "first>each", "each>ask", "ask>pause", "pause>last")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
async def test_drain_killed_at_a_point_leaves_nothing_undone_and_nothing_done_twice(
    faults: FaultHarness, point: str
) -> None:
    """Every run ends as if nothing had been; each node and item is settled once, each effect has one key and sends the
    same again if it must; what is stored can be derived again."""
    workflow_id = await everything(faults)
    pause = WAIT_SECONDS if point in WAITING else 0
    bodies = [
        {"number": number, "pause": pause, "items": [number * 10 + n for n in range(ITEMS)]} for number in range(RUNS)
    ]
    jobs = [faults.harness.delivery(workflow_id, body) for body in bodies]
    await faults.harness.services.producer.enqueue(jobs)
    if point in ("before_resume", "after_sweep"):
        await faults.harness.drain(10)
        assert {(await faults.harness.state(job)).status for job in jobs} == {"waiting"}
        await asyncio.sleep(WAIT_SECONDS if point == "after_sweep" else 0)
    assert await faults.die_at(point) == -signal.SIGKILL
    assert await faults.violations(30) == []
    states = await faults.recover(jobs)
    assert [(state.status, state.output) for state in states] == [
        ("succeeded", 2 * sum(body["items"]) + body["number"]) for body in bodies
    ]
    assert await faults.violations(0) == []
    called = await faults.called(jobs)
    assert len(called) == RUNS
    for job in (*jobs, *called):
        facts = [event for event in await faults.harness.events(job) if event.event_type in SETTLING]
        times = Counter((event.payload.get("node_id"), event.payload.get("index")) for event in facts)
        assert set(times.values()) == {1}
        assert (await faults.harness.verify(job))["first_difference"] is None
    sent: dict[str, set[bytes]] = {}
    for received in faults.sink.received:
        sent.setdefault(received.key, set()).add(received.body)
    assert sorted(json.loads(body) for bodies in sent.values() for body in bodies) == sorted(
        value for body in bodies for value in (body["number"], *body["items"])
    )
