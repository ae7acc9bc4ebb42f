"""What one run may record, and how it ends when it has: by its row, for nobody has to fold it any more."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from shared.domain.execution.run_budget import RunBudget
from shared.errors import RunLimitError
from shared.events.envelope import NewEvent
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from shared.repositories.append import Append
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request, transform
from tests.integration.engine.sink import Sink
from tests.integration.engine.test_calls import called_runs
from tests.integration.engine.test_error_workflows import telling

LARGE = "{% $join($map([1..1000], function($n) { '" + "x" * 100 + "' })) %}"


def chain(count: int, value: Any) -> tuple[list[JsonObject], list[str]]:
    """So many transforms after the trigger, one after the other."""
    names = ["hook", *(f"n{number}" for number in range(count))]
    return [HOOK, *(transform(name, value) for name in names[1:])], [f"{one}>{other}" for one, other in pairwise(names)]


async def run_within(harness: EngineHarness, budget: RunBudget, job: ExecutionJob) -> None:
    """A claim of the job by an engine with this budget."""
    await harness.new_engine(budget=budget).execute(job)


async def test_run_that_records_too_many_bytes_fails(harness: EngineHarness) -> None:
    """With what it has and what it may have; what it did before stands, and the run verifies."""
    nodes, edges = chain(20, LARGE)
    job = harness.delivery(await harness.publish(nodes, *edges))
    await run_within(harness, RunBudget(max_bytes=1_000_000), job)
    state = await harness.state(job)
    assert (state.status, (state.error or {})["code"]) == ("failed", "limit")
    assert "a run may record 1000000" in (state.error or {})["message"]
    assert [state.nodes[name].status for name in ("n0", "n8")] == ["succeeded", "succeeded"]
    assert state.size_bytes <= 1_000_000
    assert (await harness.verify(job))["valid"]
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert row is not None
    assert (row["status"], row["wake_at"], row["error"]["code"]) == ("failed", None, "limit")


async def test_run_that_records_too_many_facts_fails(harness: EngineHarness) -> None:
    """Counted in the stream: those of senders of signals too."""
    nodes, edges = chain(20, 1)
    job = harness.delivery(await harness.publish(nodes, *edges))
    await run_within(harness, RunBudget(max_facts=12), job)
    state = await harness.state(job)
    assert (state.status, (state.error or {})["code"], state.stream_version) == ("failed", "limit", 13)
    assert (await harness.verify(job))["valid"]


async def test_output_beyond_the_limit_is_not_recorded_twice(harness: EngineHarness) -> None:
    """The run's own output counts: of what fits once, there is no room for a second."""
    job = harness.delivery(await harness.publish([HOOK, transform("one", LARGE)], "hook>one"))
    await run_within(harness, RunBudget(max_bytes=150_000), job)
    state = await harness.state(job)
    assert (state.nodes["one"].status, state.status) == ("succeeded", "failed")


async def test_map_too_wide_fails_before_its_first_item(harness: EngineHarness, sink: Sink) -> None:
    """What its items will record is known: nothing is sent that could not be recorded."""
    each = {"id": "each", "type": "map", "parameters": {"items": list(range(50))}}
    each["parameters"]["body"] = {"nodes": [request("send", sink.url)]}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    await run_within(harness, RunBudget(max_facts=80), job)
    state = await harness.state(job)
    assert ((state.error or {})["code"], sink.received) == ("limit", [])
    await run_within(harness, RunBudget(max_facts=300), again := harness.delivery(state.workflow_id))
    assert ((await harness.state(again)).status, len(sink.received)) == ("succeeded", 50)


async def test_many_large_outputs_are_stored_before_they_are_many(harness: EngineHarness) -> None:
    """The run does not hold all of them until its end: an append has a limit in bytes."""
    nodes, edges = chain(25, "{% $join($map([1..1000], function($n) { '" + "x" * 1_000 + "' })) %}")
    job = harness.delivery(await harness.publish(nodes, *edges))
    assert (await harness.execute(job)).status == "succeeded"
    assert await harness.appends(job) >= 3


async def test_run_beyond_its_budget_is_not_read_to_its_end(harness: EngineHarness) -> None:
    """A drain that finds one reads a page too many and no more, and ends it."""
    body = {"nodes": [transform("one", "{% $item %}")]}
    each = {"id": "each", "type": "map", "parameters": {"items": list(range(2_000)), "body": body}}
    nodes = [HOOK, each, delay("pause", seconds=3600)]
    job = harness.delivery(await harness.publish(nodes, "hook>each", "each>pause"))
    assert (await harness.execute(job)).status == "waiting"
    watching, store = harness.watched()
    await watching.new_engine(budget=RunBudget(max_facts=1_500)).execute(job, is_first_claim=False)
    await watching.services.close()
    assert store.called.count("read_stream") == 4  # two pages; and for the end, the first fact and the last ones
    assert ((await harness.state(job)).error or {})["code"] == "limit"


async def test_run_that_cannot_be_folded_is_ended(harness: EngineHarness) -> None:
    """Its history has a fact of another version: it ends as failed all the same, its caller goes on, and its error
    workflow is told."""
    tell = await telling(harness)
    waiting = [{"id": "start", "type": "manual_trigger"}, delay("pause", seconds=3600)]
    child = await harness.publish(waiting, "start>pause", error_workflow_id=tell)
    job = harness.delivery(await harness.publish([HOOK, call("ask", child)], "hook>ask"))
    await harness.execute(job)
    (called,) = await called_runs(harness, job)
    version = (await harness.execute(called)).stream_version
    row = await harness.services.executions.get(harness.tenant_id, called.execution_id)
    strange = NewEvent(new_id(), "WrittenByAnotherVersion", (await harness.events(called))[-1].timestamp, {})
    changed = {**(row or {}), "tenant_id": harness.tenant_id, "stream_version": version + 1}
    await harness.services.events.append_one(
        Append(harness.tenant_id, called.execution_id, "execution", version, (strange,), changed)
    )
    with pytest.raises(KeyError):
        await harness.engine.execute(called, is_first_claim=False)
    await harness.engine.fail(called, "internal_error", "The engine met an error of its own.")
    ended = await harness.services.executions.get(harness.tenant_id, called.execution_id)
    assert ended is not None
    assert (ended["status"], ended["error"]["code"], ended["workflow_version"]) == ("failed", "internal_error", 1)
    (told,) = await called_runs(harness, called)
    assert (await harness.execute(told)).trigger["body"]["error"]["code"] == "internal_error"
    state = await harness.execute_later(job, 0)
    assert (state.status, (state.error or {})["code"]) == ("failed", "internal_error")


async def test_failing_twice_tells_the_error_workflow_once(harness: EngineHarness) -> None:
    """Who died between the two facts is followed by one that finds the first of them."""
    tell = await telling(harness)
    job = harness.delivery(await harness.publish([HOOK, delay("p", seconds=3600)], "hook>p", error_workflow_id=tell))
    await harness.execute(job)
    for _ in range(2):
        await harness.engine.fail(job, "drain_died", "The drain that ran this died several times.")
    names = [event.event_type for event in await harness.events(job)]
    assert names[-2:] == ["ErrorWorkflowStarted", "ExecutionFailed"]
    assert len(await called_runs(harness, job)) == 1


async def test_signal_beyond_the_runs_budget_is_refused(harness: EngineHarness) -> None:
    """The sender is told; the run goes on without it."""
    wait = {"id": "w", "type": "wait_for_signal", "parameters": {"name": "go"}}
    job = harness.delivery(await harness.publish([HOOK, wait], "hook>w"))
    await harness.execute(job)
    settings = harness.services.settings
    harness.services.__dict__["settings"] = settings._replace(run_max_bytes=10_000)
    with pytest.raises(RunLimitError, match="a run may record 10000"):
        await harness.signal(job, "go", "x" * 10_000)
    await harness.signal(job, "go", "short")
    assert (await harness.execute_later(job, 0)).output == "short"


async def test_who_waits_for_a_run_that_reaches_its_limit_is_told_at_once(harness: EngineHarness) -> None:
    """As with any other failure."""
    nodes, edges = chain(20, 1)
    job = harness.delivery(await harness.publish(nodes, *edges))._replace(client_is_waiting=True)
    await run_within(harness, RunBudget(max_facts=12), job)
    assert json.loads(await harness.services.replies.wait(job.execution_id, 5) or "{}")["status"] == "failed"
