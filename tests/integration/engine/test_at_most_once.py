"""Effects that are sent at most once: one that was cut off fails instead of being sent again."""

from __future__ import annotations

import asyncio

from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.verify.verification import first_difference
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.sink import Sink


def once(url: str, **fields: object) -> JsonObject:
    """A request that is sent at most once."""
    return request("pay", url, delivery="at_most_once", **fields)


async def cut_off(harness: EngineHarness, sink: Sink, job: ExecutionJob) -> None:
    """The run is left in the middle of its request, as by a drain that is out of time."""
    sink.pause_seconds = 5
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(1)
    run.cancel()
    await asyncio.wait([run])
    sink.pause_seconds = 0


async def test_effect_that_was_cut_off_fails_and_is_not_sent_again(harness: EngineHarness, sink: Sink) -> None:
    """The next drain finds that it has begun; what became of it, nobody knows."""
    job = harness.delivery(await harness.publish([HOOK, once(sink.url)], "hook>pay"))
    await cut_off(harness, sink, job)
    state = await harness.execute_later(job, 0)
    assert (state.status, (state.error or {})["code"], len(sink.received)) == ("failed", "interrupted", 1)
    assert (await harness.verify(job))["valid"]


async def test_run_can_go_on_with_the_interruption(harness: EngineHarness, sink: Sink) -> None:
    """It is an error like any other: `on_error` says what follows, an inquiry perhaps."""
    nodes = [HOOK, once(sink.url, on_error="route"), transform("ask", "{% $input.code %}")]
    job = harness.delivery(await harness.publish(nodes, "hook>pay", "pay.error>ask"))
    await cut_off(harness, sink, job)
    state = await harness.execute_later(job, 0)
    assert (state.status, state.output, len(sink.received)) == ("succeeded", "interrupted", 1)
    assert (await harness.verify(job))["valid"]


async def test_effect_in_a_map_is_sent_at_most_once_for_each_item(harness: EngineHarness, sink: Sink) -> None:
    """The items that had not begun are done; those that had are not done again."""
    each: JsonObject = {"id": "each", "type": "map", "parameters": {"items": [1, 2, 3], "max_concurrency": 1}}
    each["parameters"] |= {"tolerated_failure_count": 3, "body": {"nodes": [once(sink.url)]}}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    await cut_off(harness, sink, job)
    state = await harness.execute_later(job, 0)
    items = state.items("each")
    assert (sorted(items.outputs), {index: error["code"] for index, error in items.errors.items()}) == (
        [1, 2],
        {0: "interrupted"},
    )
    assert len({one.key for one in sink.received}) == len(sink.received) == 3


async def test_effect_that_was_not_cut_off_succeeds_as_any_other(harness: EngineHarness, sink: Sink) -> None:
    """And a failure that was answered is final."""
    job = harness.delivery(await harness.publish([HOOK, once(sink.url)], "hook>pay"))
    assert (await harness.execute(job)).status == "succeeded"
    sink.answer = lambda _request: (500, {}, b"{}")
    refused = harness.delivery((await harness.state(job)).workflow_id)
    assert ((await harness.execute(refused)).error or {})["code"] == "http_5xx"
    assert len(sink.received) == 2


async def test_redrive_sends_again(harness: EngineHarness, sink: Sink) -> None:
    """Somebody has looked, and has decided so: under the same key."""
    job = harness.delivery(await harness.publish([HOOK, once(sink.url)], "hook>pay"))
    await cut_off(harness, sink, job)
    await harness.execute_later(job, 0)
    assert (await harness.redrive(job)).status == "succeeded"
    assert len({one.key for one in sink.received}) == 1
    assert (await harness.verify(job))["valid"]


async def test_interruption_of_what_may_be_repeated_is_no_honest_history(harness: EngineHarness, sink: Sink) -> None:
    """Where a node may send again, a drain does, and none gives up so."""
    job = harness.delivery(await harness.publish([HOOK, once(sink.url)], "hook>pay"))
    await cut_off(harness, sink, job)
    state = await harness.execute_later(job, 0)
    row = await harness.services.workflows.version(harness.tenant_id, state.workflow_id, 1)
    assert row is not None
    nodes = [{name: value for name, value in node.items() if name != "delivery"} for node in row["nodes"]]
    difference = await first_difference(
        await harness.events(job), CompiledWorkflow.from_row({**row, "nodes": nodes}), harness.guard
    )
    assert difference is not None
    assert difference.event.event_type == "NodeFailed"
