"""Jobs that other clients add, or that BullMQ has given up: each leaves the queue, and for a true reason."""

from __future__ import annotations

import asyncio

import pytest
from bullmq import FlowProducer, Queue

from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import STALLED_TOO_OFTEN, ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, transform
from tests.integration.engine.own_store import supabase_gateway  # noqa: F401  # the fixture
from tests.integration.queue.jobs import services_of

EMPTY = {"wait": 0, "active": 0, "delayed": 0}


async def startable(harness: EngineHarness) -> str:
    """The id of a workflow that is started by hand."""
    nodes = [{"id": "start", "type": "manual_trigger"}, transform("echo", "{% $trigger.body %}")]
    return await harness.publish(nodes, "start>echo")


async def left(harness: EngineHarness) -> JsonObject:
    """How many jobs are still to be done."""
    counts = await harness.services.consumer.counts()
    return {name: counts[name] for name in EMPTY}


def connection(harness: EngineHarness) -> JsonObject:
    """What BullMQ's classes are given."""
    settings = harness.services.settings
    return {"prefix": settings.queue_prefix, "connection": harness.services.redis}


async def reasons(harness: EngineHarness) -> dict[str, str]:
    """Why jobs have been put aside, by their ids."""
    services = harness.services
    ids = await services.redis.zrange(services.consumer._bull.keys["failed"], 0, -1)
    return {job_id: await services.redis.hget(services.consumer._bull.toKey(job_id), "failedReason") for job_id in ids}


async def test_parent_whose_child_fails_is_failed_for_that_reason(harness: EngineHarness) -> None:
    """The flow's parent never ran: its run says that its job was failed, not that drains died; all jobs are gone."""
    workflow_id, execution_id, name = await startable(harness), new_id(), harness.services.settings.queue_name
    flow = FlowProducer(harness.services.redis, {"prefix": harness.services.settings.queue_prefix})
    child = {"name": "mail", "queueName": name, "data": {}, "opts": {"failParentOnFailure": True}}
    data = {"tenant_id": harness.tenant_id, "workflow_id": workflow_id, "input": 1}
    parent = {"name": "execution", "queueName": name, "data": data, "opts": {"jobId": execution_id}}
    await flow.add({**parent, "children": [child]})
    summary = await harness.drain()
    assert (summary.failed, summary.completed) == (2, 0)
    state = await harness.state_of(execution_id)
    assert (state.status, (state.error or {})["code"]) == ("failed", "job_failed")
    assert "failed" in (state.error or {})["message"]
    assert await left(harness) == EMPTY
    assert (await harness.verify(ExecutionJob(harness.tenant_id, execution_id, "resume")))["first_difference"] is None
    assert execution_id not in await reasons(harness)


@pytest.mark.parametrize("kind", ["dependencies", "unsuccessful"])
async def test_job_that_its_flow_does_not_let_complete_leaves_the_queue(harness: EngineHarness, kind: str) -> None:
    """Its run is recorded as it was; the drain ends, and the run's id is free for its next job."""
    workflow_id, services = await startable(harness), harness.services
    start = {"workflow_id": workflow_id, "input": 7}
    job = ExecutionJob(harness.tenant_id, new_id(), "start", start=start)
    other = job._replace(execution_id=new_id())
    await services.producer.enqueue([job, other])
    key = f"{services.consumer._bull.toKey(job.execution_id)}:{kind}"
    await (services.redis.sadd(key, "x") if kind == "dependencies" else services.redis.zadd(key, {"x": 1}))
    summary = await asyncio.wait_for(harness.drain(), 20)
    assert (summary.completed, summary.failed, summary.handed_back) == (2, 0, 0)
    assert {(await harness.state(one)).status for one in (job, other)} == {"succeeded"}
    assert await services.consumer.counts() == {**EMPTY, "failed": 0}
    assert await services.producer.peek(job.execution_id) is None


async def test_job_that_stalled_too_often_says_that_drains_died(harness: EngineHarness) -> None:
    """Only what BullMQ says in these words is told so."""
    workflow_id, services = await startable(harness), harness.services
    jobs = [
        ExecutionJob(harness.tenant_id, new_id(), "start", start={"workflow_id": workflow_id, "input": None})
        for _ in range(2)
    ]
    await services.producer.enqueue(jobs)
    for job, reason in zip(jobs, (STALLED_TOO_OFTEN, "somebody's own words"), strict=True):
        await services.redis.hset(services.consumer._bull.toKey(job.execution_id), "defa", reason)
    await harness.drain()
    codes = [((await harness.state(job)).error or {})["code"] for job in jobs]
    assert codes == ["drain_died", "job_failed"]
    assert await services.consumer.counts() == {**EMPTY, "failed": 0}


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_job_for_what_its_tenant_does_not_have_leaves_no_run(harness: EngineHarness, is_given_up: bool) -> None:
    """An unknown tenant, another's workflow, one that nobody has: put aside with a reason; no row and no event."""
    workflow_id, services = await startable(harness), harness.services
    stranger = new_id()
    wanted = [(stranger, workflow_id), (harness.tenant_id, new_id()), (new_id(), new_id())]
    jobs = [
        ExecutionJob(tenant_id, new_id(), "start", start={"workflow_id": wanted_id, "input": None})
        for tenant_id, wanted_id in wanted
    ]
    forged = harness.delivery(new_id())
    jobs.append(forged)
    await services.producer.enqueue(jobs)
    if is_given_up:
        for job in jobs:
            await services.redis.hset(services.consumer._bull.toKey(job.execution_id), "defa", STALLED_TOO_OFTEN)
    summary = await harness.drain()
    assert (summary.failed, summary.completed, await left(harness)) == (4, 0, EMPTY)
    found = await reasons(harness)
    assert set(found) == {job.execution_id for job in jobs}
    assert all("has no workflow" in reason for reason in found.values())
    for job in jobs:
        assert await harness.services.executions.get(job.tenant_id, job.execution_id) is None
        assert await harness.services.events.read_all(job.tenant_id, job.execution_id) == []


async def test_job_of_a_workflow_that_is_not_published_fails_visibly(harness: EngineHarness) -> None:
    """The tenant has it, so the tenant is told."""
    workflow_id = await startable(harness)
    await harness.unpublish(workflow_id)
    job = ExecutionJob(harness.tenant_id, new_id(), "start", start={"workflow_id": workflow_id, "input": None})
    await harness.services.producer.enqueue([job])
    await harness.drain()
    assert ((await harness.state(job)).error or {})["code"] == "not_published"


async def test_start_without_its_fields_is_put_aside_with_a_reason(harness: EngineHarness) -> None:
    """It is no error of the engine's, and does not vanish."""
    node = Queue(harness.services.settings.queue_name, connection(harness))
    ids = [new_id() for _ in range(3)]
    for execution_id, more in zip(ids, ({}, {"start": {}}, {"start": {"workflow_id": new_id()}}), strict=True):
        data = {"tenant_id": harness.tenant_id, "execution_id": execution_id, "kind": "start", **more}
        await node.add("execution", data, {"jobId": execution_id})
    summary = await harness.drain()
    assert (summary.failed, await left(harness)) == (3, EMPTY)
    found = await reasons(harness)
    assert set(found) == set(ids)
    assert all("start" in reason for reason in found.values())


async def test_job_that_another_client_holds_keeps_no_drain_alive(harness: EngineHarness) -> None:
    """Somebody has it and renews its lock: a drain waits for dead drains' jobs, and not for ever."""
    settings = harness.services.settings
    harness.services.settings = settings._replace(lock_seconds=600.0)
    holder = services_of(harness.services.settings)
    harness.services.settings = settings._replace(lock_seconds=0.5)
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    await holder.producer.enqueue([harness.delivery(workflow_id)])
    assert await holder.consumer.claim(new_id()) is not None
    summary = await asyncio.wait_for(harness.drain(120.0), 20)
    assert (summary.completed, (await holder.consumer.counts())["active"]) == (0, 1)
    await holder.close()
