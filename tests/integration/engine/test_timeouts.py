"""A workflow's timeout: it counts from a run's start, waits included, and ends whatever is under way."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.domain.timestamps import unix_seconds
from shared.json_types import JsonObject
from shared.nodes import outbound
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request, transform
from tests.integration.engine.sink import Sink
from tests.integration.engine.test_calls import START, called_runs

DAYS = 86_400.0


async def test_waiting_run_is_due_at_its_deadline_and_fails_then(harness: EngineHarness) -> None:
    """Its row names the deadline where that comes before the timer; time spent waiting counts."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=30 * DAYS)], "hook>pause", timeout_seconds=3600)
    job = harness.delivery(workflow_id)
    waiting = await harness.execute(job)
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    early = await harness.execute_later(job, 3500)
    state = await harness.execute_later(job, 3601)
    assert row is not None
    assert row["wake_at"] == waiting.deadline
    assert abs(unix_seconds(waiting.deadline or "") - unix_seconds(waiting.started_at or "") - 3600) < 1
    assert (early.status, early.stream_version) == ("waiting", waiting.stream_version)
    assert (state.status, state.nodes["pause"].status) == ("failed", "cancelled")
    assert state.error == {
        "code": "timeout",
        "message": "The run took longer than the 3600 seconds that its workflow allows.",
    }
    assert (await harness.verify(job))["first_difference"] is None


async def test_node_that_is_under_way_is_stopped(harness: EngineHarness, sink: Sink) -> None:
    """A request that takes longer than its run may is given up, and the drain is free again."""
    sink.pause_seconds = 5.0
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call", timeout_seconds=1)
    job, began = harness.delivery(workflow_id), time.monotonic()
    state = await harness.execute(job)
    assert time.monotonic() - began < 3
    assert (state.status, (state.error or {})["code"], len(sink.received)) == ("failed", "timeout", 1)
    assert (await harness.verify(job))["first_difference"] is None


async def test_request_that_waits_for_its_turn_is_given_up_with_its_run(harness: EngineHarness, sink: Sink) -> None:
    """Its own time has not begun, and the run's goes on: it ends as one that is under way does, and is never sent."""
    outbound.use(outbound.Outbound(limits=outbound.Limits(requests=2, requests_of_a_tenant=1)))
    sink.pause_seconds = 5.0
    nodes = [HOOK, request("one", sink.url), request("other", sink.url)]
    workflow_id = await harness.publish(nodes, "hook>one", "hook>other", timeout_seconds=1)
    job, began = harness.delivery(workflow_id), time.monotonic()
    state = await harness.execute(job)
    assert time.monotonic() - began < 4
    assert (state.status, (state.error or {})["code"], len(sink.received)) == ("failed", "timeout", 1)
    assert (await harness.verify(job))["first_difference"] is None


@pytest.mark.parametrize(
    "pause",
    [
        delay("pause", seconds=30 * DAYS),
        {"id": "pause", "type": "wait_for_signal", "parameters": {"name": "go", "timeout_seconds": 30 * DAYS}},
    ],
    ids=["delay", "signal"],
)
async def test_time_spent_waiting_is_not_the_nodes(harness: EngineHarness, pause: JsonObject) -> None:
    """A node's `timeout_seconds` is for an attempt at its work: one that waits may wait for longer."""
    handle = "pause.timeout>say" if pause["type"] == "wait_for_signal" else "pause>say"
    workflow_id = await harness.publish(
        [HOOK, {**pause, "timeout_seconds": 1}, transform("say", 1)], "hook>pause", handle
    )
    job = harness.delivery(workflow_id)
    waiting = await harness.execute(job)
    still = await harness.execute_later(job, DAYS)
    state = await harness.execute_later(job, 30 * DAYS + 1)
    assert (waiting.status, still.status) == ("waiting", "waiting")
    assert (state.status, state.output) == ("succeeded", 1)


async def test_time_between_attempts_is_not_the_nodes(harness: EngineHarness, sink: Sink) -> None:
    """An hour between two attempts fails no node that has a second for each of them."""
    sink.answer = lambda _request: (429, {"retry-after": "3600"}, b"") if len(sink.received) < 2 else (200, {}, b"{}")
    retry = [{"errors": ["http_429"], "max_attempts": 2}]
    workflow_id = await harness.publish([HOOK, request("call", sink.url, retry=retry, timeout_seconds=1)], "hook>call")
    job = harness.delivery(workflow_id)
    assert (await harness.execute(job)).status == "waiting"
    state = await harness.execute_later(job, 3601)
    assert (state.status, state.nodes["call"].attempts) == ("succeeded", 2)


async def test_run_that_is_done_in_time_keeps_its_end(harness: EngineHarness) -> None:
    """A run whose last node ended before the deadline succeeds, however late that is noticed."""
    workflow_id = await harness.publish([HOOK, transform("say", 1)], "hook>say", timeout_seconds=60)
    state = await harness.execute(harness.delivery(workflow_id))
    assert state.status == "succeeded"


async def test_what_a_late_run_has_called_is_cancelled(harness: EngineHarness) -> None:
    """Nobody would wait for it any more."""
    slow = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    job = harness.delivery(await harness.publish([HOOK, call("ask", slow)], "hook>ask", timeout_seconds=600))
    await harness.execute(job)
    await harness.drain()
    state = await harness.execute_later(job, 601)
    (called,) = await called_runs(harness, job)
    assert (state.status, (await harness.state(called)).status) == ("failed", "cancelled")
    assert "out of time" in (await harness.events(called))[-1].payload["reason"]


async def test_redriven_run_has_its_time_again(harness: EngineHarness) -> None:
    """The deadline counts from when it was redriven."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=3)], "hook>pause", timeout_seconds=2.5)
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    failed = await harness.execute_later(job, 10)
    await harness.redrive(job)
    state = await harness.state(job)
    assert (failed.status, state.status) == ("failed", "waiting")
    assert state.deadline_at is not None
    assert state.deadline_at > time.time()
    assert (await harness.verify(job))["first_difference"] is None


async def test_timeout_is_pinned_with_the_version(harness: EngineHarness) -> None:
    """A run that has begun keeps the time that its version gives it."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=DAYS)], "hook>pause", timeout_seconds=600)
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    await harness.publish_again(workflow_id, [HOOK, delay("pause", seconds=DAYS)], "hook>pause")
    assert (await harness.execute_later(job, 601)).status == "failed"


async def test_drain_that_is_cut_off_while_it_stores_reads_the_run_again(harness: EngineHarness, sink: Sink) -> None:
    """Whatever moment the time is up at, the events stay a whole: twenty runs end at twenty moments around it."""
    workflow_id = await harness.publish(
        [HOOK, request("one", sink.url), request("two", sink.url), transform("after", 1)],
        *("hook>one", "hook>two", "one>after"),
        timeout_seconds=0.05,
    )
    jobs = []
    for number in range(20):
        sink.pause_seconds = 0.004 * number
        job = harness.delivery(workflow_id)
        await asyncio.wait_for(harness.engine.execute(job), 10)
        jobs.append(job)
    for job in jobs:
        state, verified = await harness.state(job), await harness.verify(job)
        assert state.status in ("succeeded", "failed")
        assert verified["valid"], verified
