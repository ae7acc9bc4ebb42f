"""What those who wait for a run are told, and when."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from shared.domain.execution.state import ExecutionState
from shared.engine.run.sync_reply import MAX_REPLY_CHARACTERS
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queries.executions.await_answer import await_answer
from shared.queue.connection import connect
from shared.queue.job import ExecutionJob
from shared.queue.keys import OwnKeys
from shared.queue.reply_channel import ReplyChannel
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from shared.settings import Settings
from shared.webhooks.delivery import Answer
from shared.webhooks.intake.sync_response import run_answer
from tests.integration.engine.harness import HOOK, EngineHarness, delay, request, transform
from tests.integration.engine.sink import Sink


def respond(node_id: str, body: Any = None, **parameters: Any) -> JsonObject:
    """A node that responds."""
    return {"id": node_id, "type": "respond", "parameters": {"body": body, **parameters}}


async def awaited(harness: EngineHarness, nodes: list[JsonObject], *edges: str) -> ExecutionJob:
    """The job of a delivery whose sender waits, in the queue."""
    given = harness.delivery(await harness.publish([HOOK, *nodes], *edges), {"n": 1})
    job = ExecutionJob(given.tenant_id, given.execution_id, "delivery", given.delivery, client_is_waiting=True)
    await harness.services.producer.enqueue([job])
    return job


async def answer(harness: EngineHarness, job: ExecutionJob, seconds: float = 10) -> Any:
    """What somebody who waits is told."""
    parts = harness.services
    return await await_answer(
        parts.replies, parts.events, parts.executions, harness.tenant_id, job.execution_id, seconds
    )


async def told(harness: EngineHarness, job: ExecutionJob) -> Any:
    """What Redis has been told, if anything."""
    text = await harness.services.replies.wait(job.execution_id, 0.01)
    return None if text is None else json.loads(text)


async def test_response_is_told_while_the_run_goes_on(harness: EngineHarness, sink: Sink) -> None:
    """The answer is durable when it is told, and does not wait for what comes after it."""
    sink.pause_seconds = 1.0
    job = await awaited(
        harness, [respond("r", {"n": "{% $trigger.body.n %}"}), request("slow", sink.url)], "hook>r", "r>slow"
    )
    drain = asyncio.create_task(harness.drain())
    assert await answer(harness, job) == {"response": {"status": 200, "headers": {}, "body": {"n": 1}}}
    state = await harness.state(job)
    assert (state.status, state.nodes["r"].status) == ("running", "succeeded")
    await drain
    assert (await harness.state(job)).status == "succeeded"


async def test_response_during_a_save_is_told_too(harness: EngineHarness, sink: Sink) -> None:
    """A response beside effects that are under way is made durable at once, not with the next effect's end."""
    sink.pause_seconds = 1.0
    nodes = [request("slow", sink.url), transform("t", 1), respond("r", "ok")]
    job = await awaited(harness, nodes, "hook>slow", "hook>t", "t>r")
    drain = asyncio.create_task(harness.drain())
    assert (await answer(harness, job))["response"]["body"] == "ok"
    assert (await harness.state(job)).nodes["slow"].status == "running"
    await drain


async def test_first_response_is_the_answer(harness: EngineHarness) -> None:
    """A later one is recorded and changes nothing."""
    job = await awaited(harness, [respond("first", 1), respond("second", 2)], "hook>first", "first>second")
    await harness.drain()
    assert (await answer(harness, job))["response"]["body"] == 1
    state = await harness.state(job)
    assert state.response == {"node_id": "first", "status": 200, "headers": {}, "body": 1}
    assert state.output == {"status": 200, "headers": {}, "body": 2}
    assert (await harness.verify(job))["first_difference"] is None


async def test_run_without_a_response_answers_with_its_output(harness: EngineHarness) -> None:
    """As soon as it has ended."""
    job = await awaited(harness, [transform("t", [1, 2])], "hook>t")
    await harness.drain()
    assert await told(harness, job) == {"status": "succeeded", "output": [1, 2]}


async def test_failure_answers_at_once(harness: EngineHarness) -> None:
    """Nobody waits for a run that has failed."""
    job = await awaited(harness, [{"id": "f", "type": "fail", "parameters": {}}], "hook>f")
    await harness.drain()
    assert await told(harness, job) == {"status": "failed", "output": None}


async def test_all_who_wait_are_told_the_same(harness: EngineHarness) -> None:
    """A duplicate's sender waits for the same run, and one who comes later is told at once."""
    job = await awaited(harness, [delay("d", seconds=0.3), respond("r", "x")], "hook>d", "d>r")
    waiting = [asyncio.create_task(answer(harness, job)) for _ in range(4)]
    await harness.drain()
    assert [one["response"]["body"] for one in [*await asyncio.gather(*waiting), await answer(harness, job)]] == [
        "x"
    ] * 5


async def test_nobody_is_told_where_nobody_waits(harness: EngineHarness) -> None:
    """A run that nobody waits for costs Redis nothing."""
    job = harness.delivery(await harness.publish([HOOK, respond("r", 1)], "hook>r"))
    await harness.services.producer.enqueue([job])
    await harness.drain()
    assert await told(harness, job) is None


async def test_large_answer_is_read_from_the_store(harness: EngineHarness) -> None:
    """Redis carries no megabytes."""
    job = await awaited(harness, [respond("r", "x" * MAX_REPLY_CHARACTERS)], "hook>r")
    await harness.drain()
    assert await told(harness, job) == {"stored": True}
    assert len((await answer(harness, job))["response"]["body"]) == MAX_REPLY_CHARACTERS


async def test_answer_is_in_the_store_when_redis_is_lost(harness: EngineHarness) -> None:
    """Redis is not the source of truth: the same answer comes without it."""
    job = await awaited(harness, [respond("r", "kept")], "hook>r")
    await harness.drain()
    nowhere = ReplyChannel(connect(Settings("", "", redis_port=1)), OwnKeys.of("{bull}", new_id()))
    parts = harness.services
    found = await await_answer(nowhere, parts.events, parts.executions, harness.tenant_id, job.execution_id, 10)
    assert found == {"response": {"status": 200, "headers": {}, "body": "kept"}}


async def test_store_that_is_lost_meanwhile_refuses_no_run(harness: EngineHarness) -> None:
    """The run was accepted: whoever waits is told of a store out of reach what they are told of a longer run."""
    job = await awaited(harness, [delay("d", seconds=60), respond("r", 1)], "hook>d", "d>r")
    await harness.drain()
    lost = EventStoreRepository(Database("http://127.0.0.1:1", "key"))
    parts = harness.services
    assert await await_answer(parts.replies, lost, parts.executions, harness.tenant_id, job.execution_id, 0.5) is None


async def test_run_that_takes_longer_has_no_answer_yet(harness: EngineHarness) -> None:
    """A wait that is over is `None`; the run is none the worse for it."""
    job = await awaited(harness, [delay("d", seconds=60), respond("r", 1)], "hook>d", "d>r")
    await harness.drain()
    assert await answer(harness, job, 0.5) is None
    assert (await harness.state(job)).status == "waiting"


async def test_response_within_a_run_that_waits_is_told(harness: EngineHarness) -> None:
    """The job that comes back after a timer still knows that somebody waits."""
    job = await awaited(harness, [delay("d", seconds=2.2), respond("r", 1)], "hook>d", "d>r")
    waiting = asyncio.create_task(answer(harness, job))
    while not waiting.done():
        await harness.drain()
    assert (await waiting)["response"]["body"] == 1
    assert (await told(harness, job))["response"]["body"] == 1


@pytest.mark.parametrize("disabled", [True, False])
async def test_disabled_node_does_not_respond(harness: EngineHarness, disabled: bool) -> None:
    """It passes its input on, as any disabled node does."""
    job = await awaited(harness, [{**respond("r", 5), "disabled": disabled}], "hook>r")
    state: ExecutionState = await harness.execute(job)
    assert (state.response is None) == disabled


async def test_sender_that_may_not_wait_is_accepted_at_once(harness: EngineHarness) -> None:
    """Where as many of the tenant's requests wait as may, the sender is told where the run is, as after a timeout."""
    job, services = await awaited(harness, [respond("r", 1)], "hook>r"), harness.services
    await harness.drain()
    accepted = Answer(202, b'{"execution_id": "x"}', "application/json")
    async with AsyncExitStack() as full:
        for _ in range(services.settings.tenant_max_waits):
            await full.enter_async_context(services.waiting_clients.waiting(harness.tenant_id, 20))
        refused = await run_answer(services, job, accepted, "http://api.test", 20)
    assert (refused.status, refused.headers["location"]) == (202, f"/api/executions/{job.execution_id}")
    assert (await run_answer(services, job, accepted, "http://api.test", 20)).status == 200
