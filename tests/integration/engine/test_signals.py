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
from tests.integration.engine.harness import HOOK, Bench, delay, request, transform
from tests.integration.engine.sink import Sink


def wait(node_id: str, name: str = "go", **parameters: object) -> JsonObject:
    """A node that waits for a signal."""
    return {"id": node_id, "type": "wait_for_signal", "parameters": {"name": name, **parameters}}


NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_documented_approval_goes_on_with_its_payload(bench: Bench) -> None:
    """The example of the documentation, as it stands there, answered and unanswered."""
    workflow_id = await bench.publish_documented("approve")
    answered, unanswered = await bench.start(workflow_id), await bench.start(workflow_id)
    for job in (answered, unanswered):
        assert (await bench.execute(job)).status == "waiting"
    await bench.signal(answered, "approval", {"approved": True})
    assert (await bench.execute(answered)).output == "ship it"
    late = await bench.execute_later(unanswered, 259_200)
    assert (late.status, late.output, late.nodes["decided"].status) == ("succeeded", "nobody answered", "skipped")


async def test_signal_wakes_the_run_through_the_queue(bench: Bench) -> None:
    """The signal's row is due at once and its job brings a drain, which finishes the run."""
    job = bench.delivery(await bench.publish([HOOK, wait("w")], "hook>w"))
    await bench.services.queue.enqueue([job])
    await bench.drain()
    await bench.signal(job, "go", [1])
    row = await bench.services.executions.get(bench.tenant_id, job.execution_id)
    assert row is not None
    assert row["wake_at"] == (await bench.events(job))[-1].timestamp
    assert (await bench.drain()).completed == 1
    assert (await bench.state(job)).output == [1]


async def test_signal_before_the_wait_is_kept(bench: Bench) -> None:
    """Sent to a run that has not begun, it is there when the node asks for it."""
    job = await bench.start(await bench.publish([HOOK, wait("w")], "hook>w"))
    assert (await bench.signal(job, "go", "early")).status == "queued"
    state = await bench.execute(job)
    assert (state.status, state.output, state.signals.kept) == ("succeeded", "early", [])


async def test_signal_to_a_delivery_that_only_redis_knows_is_kept(bench: Bench) -> None:
    """The run begins with the signal, and the drain that claims its job goes on from there."""
    job = bench.delivery(await bench.publish([HOOK, wait("w")], "hook>w"))
    await bench.services.queue.enqueue([job])
    await bench.signal(job, "go", 7)
    await bench.drain()
    state = await bench.state(job)
    assert (state.status, state.output) == ("succeeded", 7)


async def test_signal_during_an_effect_does_not_repeat_it(bench: Bench, sink: Sink) -> None:
    """The run takes the signal in and goes on: nothing is done twice."""
    sink.pause_seconds = 0.2
    job = bench.delivery(await bench.publish([HOOK, request("call", sink.url), wait("w")], "hook>call", "call>w"))
    run = asyncio.create_task(bench.engine.execute(job))
    await sink.received_at_least(1)
    await bench.signal(job, "go", "meanwhile")
    await run
    state = await bench.state(job)
    assert (state.status, state.output, len(sink.received)) == ("succeeded", "meanwhile", 1)


async def test_signal_leaves_the_lease_of_a_running_effect_alone(bench: Bench, sink: Sink) -> None:
    """A run in somebody's hands is not made due earlier."""
    sink.pause_seconds = 0.2
    node = request("call", sink.url, timeout_seconds=600)
    job = bench.delivery(await bench.publish([HOOK, node], "hook>call"))
    run = asyncio.create_task(bench.engine.execute(job))
    await sink.received_at_least(1)
    before = await bench.services.executions.get(bench.tenant_id, job.execution_id)
    await bench.signal(job, "go")
    after = await bench.services.executions.get(bench.tenant_id, job.execution_id)
    await run
    assert before is not None
    assert after is not None
    assert after["wake_at"] == before["wake_at"]


async def test_each_signal_goes_to_one_node_and_schemas_choose(bench: Bench) -> None:
    """Two waits of a name take two signals; one that does not fit is left to the other."""
    nodes = [HOOK, wait("number", schema=NUMBER), wait("any"), transform("both", "{% $nodes %}", join="all")]
    workflow_id = await bench.publish(nodes, "hook>number", "hook>any", "number>both", "any>both")
    job = bench.delivery(workflow_id)
    await bench.execute(job)
    await bench.signal(job, "go", "text")
    assert (await bench.execute_later(job, 0)).status == "waiting"
    await bench.signal(job, "go", {"n": 1})
    state = await bench.execute_later(job, 0)
    assert (state.status, state.nodes["number"].output, state.nodes["any"].output) == ("succeeded", {"n": 1}, "text")


async def test_payload_that_no_waiting_node_takes_is_refused(bench: Bench) -> None:
    """With a pointer to what is wrong, and nothing is recorded."""
    job = bench.delivery(await bench.publish([HOOK, wait("w", schema=NUMBER)], "hook>w"))
    waiting = await bench.execute(job)
    with pytest.raises(UnprocessableError) as error:
        await bench.signal(job, "go", {"n": "one"})
    assert [problem.pointer for problem in error.value.problems] == ["/payload/n"]
    assert (await bench.state(job)).stream_version == waiting.stream_version


async def test_key_makes_repetitions_one_signal(bench: Bench) -> None:
    """And another payload under the same key is refused."""
    job = bench.delivery(await bench.publish([HOOK, wait("w"), wait("v")], "hook>w", "w>v"))
    await bench.execute(job)
    for _ in range(2):
        await bench.signal(job, "go", 1, key="k")
    with pytest.raises(IdempotencyConflictError):
        await bench.signal(job, "go", 2, key="k")
    state = await bench.execute_later(job, 0)
    assert (state.status, state.nodes["w"].output, state.nodes["v"].status) == ("waiting", 1, "waiting")


async def test_ended_and_unknown_runs_take_no_signals(bench: Bench) -> None:
    """There is nothing that could wait."""
    job = bench.delivery(await bench.publish([HOOK, delay("d", seconds=0)], "hook>d"))
    await bench.execute(job)
    with pytest.raises(ExecutionFinishedError):
        await bench.signal(job, "go")
    with pytest.raises(NotFoundError):
        await bench.signal(ExecutionJob(bench.tenant_id, new_id(), "resume"), "go")


async def test_many_signals_at_once_are_all_kept_in_one_order(bench: Bench) -> None:
    """Senders that meet wait for each other; none is lost."""
    job = bench.delivery(await bench.publish([HOOK, wait("w", "other")], "hook>w"))
    await bench.execute(job)
    await asyncio.gather(*(bench.signal(job, "go", number) for number in range(8)))
    kept = (await bench.state(job)).signals.kept
    assert sorted(json.dumps(one.payload) for one in kept) == [str(number) for number in range(8)]


async def test_facts_say_which_node_takes_which_signal(bench: Bench) -> None:
    """Sent before the beginning of a wait and after it; nothing is left to be judged again."""
    job = await bench.start(
        await bench.publish([HOOK, wait("number", schema=NUMBER), wait("any")], "hook>number", "number>any")
    )
    await bench.signal(job, "go", "early")
    await bench.execute(job)
    await bench.signal(job, "go", {"n": 1})
    assert (await bench.execute_later(job, 0)).output == "early"
    told = [(event.event_type, event.payload) for event in await bench.events(job)]
    assert [one["node_id"] for name, one in told if name == "SignalReceived"] == [None, "number"]
    assert [one["passed_over"] for name, one in told if name == "NodeWaiting"] == [1, 0]
    assert [one["signal"] for name, one in told if name == "NodeSucceeded"] == [2, 1]
    assert (await bench.verify(job))["valid"]


async def test_signal_that_crosses_the_beginning_of_a_wait_is_taken(bench: Bench, sink: Sink) -> None:
    """The wait's fact does not know it, and the run verifies all the same."""
    sink.pause_seconds = 0.2
    nodes = [HOOK, request("call", sink.url), wait("number", schema=NUMBER), wait("any")]
    job = bench.delivery(await bench.publish(nodes, "hook>call", "call>number", "number>any"))
    run = asyncio.create_task(bench.engine.execute(job))
    await sink.received_at_least(1)
    await bench.signal(job, "go", "text")
    await bench.signal(job, "go", {"n": 1})
    await run
    state = await bench.state(job)
    assert (state.status, state.nodes["number"].output, state.output) == ("succeeded", {"n": 1}, "text")
    assert (await bench.verify(job))["valid"]


async def test_schema_that_lists_thousands_holds_nobody_up(bench: Bench) -> None:
    """6,000 items, each of which may be any of 6,000 values: looked up, not compared with one after the other."""
    values = list(range(6_000))
    job = bench.delivery(await bench.publish([HOOK, wait("w", schema={"items": {"enum": values}})], "hook>w"))
    await bench.execute(job)
    await bench.signal(job, "go", values)
    assert (await bench.execute_later(job, 0)).output == values


async def test_payload_too_large_for_its_schema_is_refused(bench: Bench) -> None:
    """By whoever waits: nothing is recorded, and the sender is told the limit."""
    job = bench.delivery(await bench.publish([HOOK, wait("w", schema={"items": {"type": "integer"}})], "hook>w"))
    waiting = await bench.execute(job)
    with pytest.raises(LimitExceededError, match="too large to be compared"):
        await bench.signal(job, "go", [1] * MAX_STEPS)
    assert (await bench.state(job)).stream_version == waiting.stream_version


async def test_kept_payload_too_large_for_a_schema_fails_the_node(bench: Bench) -> None:
    """It was sent before anybody waited: a wait for what cannot be judged would be one for ever."""
    job = await bench.start(await bench.publish([HOOK, wait("w", schema={"items": {"type": "integer"}})], "hook>w"))
    await bench.signal(job, "go", [1] * MAX_STEPS)
    state = await bench.execute(job)
    assert (state.status, (state.error or {})["code"]) == ("failed", "limit")
    assert (await bench.verify(job))["valid"]


async def test_nodes_with_one_schema_are_judged_once(bench: Bench) -> None:
    """However many items of a map wait with it: for the same answer as for one of them."""
    schema = {"items": {"type": "integer"}}
    each = {"id": "each", "type": "map", "parameters": {"items": [1] * 30, "max_concurrency": 30}}
    each["parameters"]["body"] = {"nodes": [wait("w", schema=schema)]}
    job = bench.delivery(await bench.publish([HOOK, each], "hook>each"))
    await bench.execute(job)
    with pytest.raises(UnprocessableError, match="not what the execution waits for"):
        await bench.signal(job, "go", [1] * (MAX_STEPS // 2) + ["text"])
    await bench.signal(job, "go", [1] * (MAX_STEPS // 2))
    state = await bench.execute_later(job, 0)
    assert (state.status, len(state.items("each").outputs)) == ("waiting", 1)
