"""Signals: taken by whoever waits, kept until then, and in nobody's way."""

from __future__ import annotations

import asyncio
import json

import pytest

from shared.domain.json.check_budget import MAX_STEPS
from shared.errors import (
    ExecutionFinishedError,
    IdempotencyConflictError,
    LimitExceededError,
    NotFoundError,
    UnprocessableError,
)
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, delay, request, transform
from tests.integration.engine.sink import Sink


def wait(node_id: str, name: str = "go", **parameters: object) -> JsonObject:
    """A node that waits for a signal."""
    return {"id": node_id, "type": "wait_for_signal", "parameters": {"name": name, **parameters}}


NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_documented_approval_goes_on_with_its_payload(harness: EngineHarness) -> None:
    """The example of the documentation, as it stands there, answered and unanswered."""
    workflow_id = await harness.publish_documented("approve")
    answered, unanswered = await harness.start(workflow_id), await harness.start(workflow_id)
    for job in (answered, unanswered):
        assert (await harness.execute(job)).status == "waiting"
    await harness.signal(answered, "approval", {"approved": True})
    assert (await harness.execute(answered)).output == "ship it"
    late = await harness.execute_later(unanswered, 259_200)
    assert (late.status, late.output, late.nodes["decided"].status) == ("succeeded", "nobody answered", "skipped")


async def test_signal_wakes_the_run_through_the_queue(harness: EngineHarness) -> None:
    """The signal's row is due at once and its job brings a drain, which finishes the run."""
    job = harness.delivery(await harness.publish([HOOK, wait("w")], "hook>w"))
    await harness.services.producer.enqueue([job])
    await harness.drain()
    await harness.signal(job, "go", [1])
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert row is not None
    assert row["wake_at"] == (await harness.events(job))[-1].timestamp
    assert (await harness.drain()).completed == 1
    assert (await harness.state(job)).output == [1]


async def test_signal_before_the_wait_is_kept(harness: EngineHarness) -> None:
    """Sent to a run that has not begun, it is there when the node asks for it."""
    job = await harness.start(await harness.publish([HOOK, wait("w")], "hook>w"))
    assert (await harness.signal(job, "go", "early")).status == "queued"
    state = await harness.execute(job)
    assert (state.status, state.output, state.signals.kept) == ("succeeded", "early", [])


async def test_signal_to_a_delivery_that_only_redis_knows_is_kept(harness: EngineHarness) -> None:
    """The run begins with the signal, and the drain that claims its job goes on from there."""
    job = harness.delivery(await harness.publish([HOOK, wait("w")], "hook>w"))
    await harness.services.producer.enqueue([job])
    await harness.signal(job, "go", 7)
    await harness.drain()
    state = await harness.state(job)
    assert (state.status, state.output) == ("succeeded", 7)


async def test_signal_during_an_effect_does_not_repeat_it(harness: EngineHarness, sink: Sink) -> None:
    """The run takes the signal in and goes on: nothing is done twice."""
    sink.pause_seconds = 0.2
    job = harness.delivery(await harness.publish([HOOK, request("call", sink.url), wait("w")], "hook>call", "call>w"))
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(1)
    await harness.signal(job, "go", "meanwhile")
    await run
    state = await harness.state(job)
    assert (state.status, state.output, len(sink.received)) == ("succeeded", "meanwhile", 1)


async def test_signal_leaves_the_lease_of_a_running_effect_alone(harness: EngineHarness, sink: Sink) -> None:
    """A run in somebody's hands is not made due earlier."""
    sink.pause_seconds = 0.2
    node = request("call", sink.url, timeout_seconds=600)
    job = harness.delivery(await harness.publish([HOOK, node], "hook>call"))
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(1)
    before = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    await harness.signal(job, "go")
    after = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    await run
    assert before is not None
    assert after is not None
    assert after["wake_at"] == before["wake_at"]


async def test_each_signal_goes_to_one_node_and_schemas_choose(harness: EngineHarness) -> None:
    """Two waits of a name take two signals; one that does not fit is left to the other."""
    nodes = [HOOK, wait("number", schema=NUMBER), wait("any"), transform("both", "{% $nodes %}", join="all")]
    workflow_id = await harness.publish(nodes, "hook>number", "hook>any", "number>both", "any>both")
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    await harness.signal(job, "go", "text")
    assert (await harness.execute_later(job, 0)).status == "waiting"
    await harness.signal(job, "go", {"n": 1})
    state = await harness.execute_later(job, 0)
    assert (state.status, state.nodes["number"].output, state.nodes["any"].output) == ("succeeded", {"n": 1}, "text")


async def test_payload_that_no_waiting_node_takes_is_refused(harness: EngineHarness) -> None:
    """With a pointer to what is wrong, and nothing is recorded."""
    job = harness.delivery(await harness.publish([HOOK, wait("w", schema=NUMBER)], "hook>w"))
    waiting = await harness.execute(job)
    with pytest.raises(UnprocessableError) as error:
        await harness.signal(job, "go", {"n": "one"})
    assert [problem.pointer for problem in error.value.problems] == ["/payload/n"]
    assert (await harness.state(job)).stream_version == waiting.stream_version


async def test_key_makes_repetitions_one_signal(harness: EngineHarness) -> None:
    """And another payload under the same key is refused."""
    job = harness.delivery(await harness.publish([HOOK, wait("w"), wait("v")], "hook>w", "w>v"))
    await harness.execute(job)
    for _ in range(2):
        await harness.signal(job, "go", 1, key="k")
    with pytest.raises(IdempotencyConflictError):
        await harness.signal(job, "go", 2, key="k")
    state = await harness.execute_later(job, 0)
    assert (state.status, state.nodes["w"].output, state.nodes["v"].status) == ("waiting", 1, "waiting")


async def test_ended_and_unknown_runs_take_no_signals(harness: EngineHarness) -> None:
    """There is nothing that could wait."""
    job = harness.delivery(await harness.publish([HOOK, delay("d", seconds=0)], "hook>d"))
    await harness.execute(job)
    with pytest.raises(ExecutionFinishedError):
        await harness.signal(job, "go")
    with pytest.raises(NotFoundError):
        await harness.signal(ExecutionJob(harness.tenant_id, new_id(), "resume"), "go")


async def test_many_signals_at_once_are_all_kept_in_one_order(harness: EngineHarness) -> None:
    """Senders that meet wait for each other; none is lost."""
    job = harness.delivery(await harness.publish([HOOK, wait("w", "other")], "hook>w"))
    await harness.execute(job)
    await asyncio.gather(*(harness.signal(job, "go", number) for number in range(8)))
    kept = (await harness.state(job)).signals.kept
    assert sorted(json.dumps(one.payload) for one in kept) == [str(number) for number in range(8)]


async def test_facts_say_which_node_takes_which_signal(harness: EngineHarness) -> None:
    """Sent before the beginning of a wait and after it; nothing is left to be judged again."""
    job = await harness.start(
        await harness.publish([HOOK, wait("number", schema=NUMBER), wait("any")], "hook>number", "number>any")
    )
    await harness.signal(job, "go", "early")
    await harness.execute(job)
    await harness.signal(job, "go", {"n": 1})
    assert (await harness.execute_later(job, 0)).output == "early"
    told = [(event.event_type, event.payload) for event in await harness.events(job)]
    assert [one["node_id"] for name, one in told if name == "SignalReceived"] == [None, "number"]
    assert [one["passed_over"] for name, one in told if name == "NodeWaiting"] == [1, 0]
    assert [one["signal"] for name, one in told if name == "NodeSucceeded"] == [2, 1]
    assert (await harness.verify(job))["valid"]


async def test_signal_that_crosses_the_beginning_of_a_wait_is_taken(harness: EngineHarness, sink: Sink) -> None:
    """The wait's fact does not know it, and the run verifies all the same."""
    sink.pause_seconds = 0.2
    nodes = [HOOK, request("call", sink.url), wait("number", schema=NUMBER), wait("any")]
    job = harness.delivery(await harness.publish(nodes, "hook>call", "call>number", "number>any"))
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(1)
    await harness.signal(job, "go", "text")
    await harness.signal(job, "go", {"n": 1})
    await run
    state = await harness.state(job)
    assert (state.status, state.nodes["number"].output, state.output) == ("succeeded", {"n": 1}, "text")
    assert (await harness.verify(job))["valid"]


async def test_schema_that_lists_thousands_holds_nobody_up(harness: EngineHarness) -> None:
    """6,000 items, each of which may be any of 6,000 values: looked up, not compared with one after the other."""
    values = list(range(6_000))
    job = harness.delivery(await harness.publish([HOOK, wait("w", schema={"items": {"enum": values}})], "hook>w"))
    await harness.execute(job)
    await harness.signal(job, "go", values)
    assert (await harness.execute_later(job, 0)).output == values


async def test_payload_too_large_for_its_schema_is_refused(harness: EngineHarness) -> None:
    """By whoever waits: nothing is recorded, and the sender is told the limit."""
    job = harness.delivery(await harness.publish([HOOK, wait("w", schema={"items": {"type": "integer"}})], "hook>w"))
    waiting = await harness.execute(job)
    with pytest.raises(LimitExceededError, match="too large to be compared"):
        await harness.signal(job, "go", [1] * MAX_STEPS)
    assert (await harness.state(job)).stream_version == waiting.stream_version


async def test_kept_payload_too_large_for_a_schema_fails_the_node(harness: EngineHarness) -> None:
    """It was sent before anybody waited: a wait for what cannot be judged would be one for ever."""
    job = await harness.start(await harness.publish([HOOK, wait("w", schema={"items": {"type": "integer"}})], "hook>w"))
    await harness.signal(job, "go", [1] * MAX_STEPS)
    state = await harness.execute(job)
    assert (state.status, (state.error or {})["code"]) == ("failed", "limit")
    assert (await harness.verify(job))["valid"]


async def test_nodes_with_one_schema_are_judged_once(harness: EngineHarness) -> None:
    """However many items of a map wait with it: for the same answer as for one of them."""
    schema = {"items": {"type": "integer"}}
    each = {"id": "each", "type": "map", "parameters": {"items": [1] * 30, "max_concurrency": 30}}
    each["parameters"]["body"] = {"nodes": [wait("w", schema=schema)]}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    await harness.execute(job)
    with pytest.raises(UnprocessableError, match="not what the execution waits for"):
        await harness.signal(job, "go", [1] * (MAX_STEPS // 2) + ["text"])
    await harness.signal(job, "go", [1] * (MAX_STEPS // 2))
    state = await harness.execute_later(job, 0)
    assert (state.status, len(state.items("each").outputs)) == ("waiting", 1)
