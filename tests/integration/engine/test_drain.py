"""One invocation of the drain over a real queue and store."""

from __future__ import annotations

import asyncio
import time

from shared.domain.timestamps import timestamp
from shared.engine.run.executor import RunExecutor
from shared.events.envelope import NewEvent
from shared.ids import new_id
from shared.queue.job import ExecutionJob
from shared.repositories.append import Append
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.own_store import supabase_gateway  # noqa: F401  # the fixture
from tests.integration.engine.sink import Sink
from tests.integration.queue.jobs import services_of


async def test_drain_runs_everything_and_leaves_an_empty_queue(harness: EngineHarness) -> None:
    """Two hundred deliveries are run, their jobs are gone, and the drain leaves by itself and is no longer live."""
    workflow_id = await harness.publish([HOOK, transform("double", "{% $trigger.body * 2 %}")], "hook>double")
    jobs = [harness.delivery(workflow_id, number) for number in range(200)]
    await harness.services.producer.enqueue(jobs)
    summary = await harness.drain()
    assert summary.completed == 200
    assert await harness.services.consumer.counts() == {"wait": 0, "active": 0, "delayed": 0, "failed": 0}
    assert await harness.services.live_drains.count() == 0
    rows = await harness.services.executions.list(harness.tenant_id, 100, status="succeeded")
    assert len(rows) == 100
    assert (await harness.state(jobs[7])).output == 14


async def test_drain_takes_a_job_that_comes_while_it_lingers(harness: EngineHarness) -> None:
    """A job added to an idle drain is run at once, without another invocation."""
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    drain = asyncio.create_task(harness.drain())
    await asyncio.sleep(0.1)
    job, added_at = harness.delivery(workflow_id), time.monotonic()
    assert await harness.services.producer.enqueue([job])
    while await harness.services.executions.get(harness.tenant_id, job.execution_id) is None:
        assert time.monotonic() - added_at < 1.0
    await drain
    assert (await harness.state(job)).status == "succeeded"


async def test_drain_starts_a_job_of_another_client_by_hand(harness: EngineHarness) -> None:
    """A job with a workflow and an input runs the published version, its input as the trigger's body."""
    nodes = [{"id": "start", "type": "manual_trigger"}, transform("echo", "{% $trigger.body.x %}")]
    workflow_id = await harness.publish(nodes, "start>echo")
    job = harness.delivery(workflow_id)._replace(kind="start", delivery=None)
    job = job._replace(start={"workflow_id": workflow_id, "input": {"x": 7}})
    await harness.services.producer.enqueue([job])
    await harness.drain()
    assert (await harness.state(job)).output == 7


async def test_sweep_finds_a_due_run_that_no_job_points_at(harness: EngineHarness) -> None:
    """A run whose job was lost is brought back by the time that its row says."""
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    job = await _queued(harness, workflow_id)
    summary = await harness.drain(engine=_later(harness))
    assert summary.swept >= 1
    assert (await harness.state(job)).status == "succeeded"


async def test_sweep_leaves_a_new_run_to_the_job_that_points_at_it(harness: EngineHarness) -> None:
    """It is in the queue already: it is due by its row only when a drain had the time to come to it."""
    workflow_id = await harness.publish([{"id": "start", "type": "manual_trigger"}, transform("one", 1)], "start>one")
    execution_id = (await harness.start(workflow_id)).execution_id
    repository, now = harness.services.executions, time.time()

    async def due(moment: float) -> bool:
        rows = await repository.claim_due(1000, 0.0, timestamp(moment))
        return execution_id in [row.get("execution_id") for row in rows]

    assert (await due(now + 5), await due(now + 30)) == (False, True)


async def test_retry_timer_brings_the_run_back(harness: EngineHarness, sink: Sink) -> None:
    """A retry longer than a drain waits for is a delayed job; the run ends after it."""
    sink.answer = lambda _request: (503, {"retry-after": "3"}, b"") if len(sink.received) < 2 else (200, {}, b"{}")
    retry = [{"errors": ["http_5xx"], "max_attempts": 2}]
    workflow_id = await harness.publish([HOOK, request("call", sink.url, retry=retry)], "hook>call")
    harness.services.settings = harness.services.settings._replace(drain_linger_seconds=4.0)
    job = harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    summary = await harness.drain()
    assert (summary.delayed, summary.completed) == (1, 1)
    assert (await harness.state(job)).status == "succeeded"
    assert len({one.key for one in sink.received}) == 1


async def test_drain_hands_back_what_it_cannot_finish(harness: EngineHarness, sink: Sink) -> None:
    """When time runs out in the middle of an effect, the job is first in line for the next drain, which repeats it."""
    sink.pause_seconds = 5.0
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    job = harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    summary = await harness.drain(seconds=3.0)
    assert summary.handed_back == 1
    sink.pause_seconds = 0.0
    await harness.drain()
    assert (await harness.state(job)).status == "succeeded"
    assert len({one.key for one in sink.received}) == 1


async def test_malformed_job_is_kept_among_the_failed_ones(harness: EngineHarness) -> None:
    """A job without sense stops nothing: it is set aside and the next one runs."""
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    job = harness.delivery(workflow_id)
    services = harness.services
    await services.producer.enqueue([job._replace(tenant_id="nobody", execution_id=harness.tenant_id), job])
    summary = await harness.drain()
    assert (summary.failed, summary.completed) == (1, 1)
    assert (await services.consumer.counts())["failed"] == 1


async def test_sweep_runs_what_is_due_while_redis_is_out_of_reach(harness: EngineHarness) -> None:
    """Redis is not the source of truth: with nobody at its port, a due run is run all the same."""
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    job = await _queued(harness, workflow_id)
    nobody = services_of(harness.services.settings._replace(redis_port=1))
    await harness.drain(seconds=6.0, engine=_later(harness), queue=nobody)
    await nobody.close()
    assert (await harness.state(job)).status == "succeeded"


def _later(harness: EngineHarness) -> RunExecutor:
    """An engine by whose clock new runs are due."""
    return harness.new_engine("later", lambda: time.time() + 60)


async def _queued(harness: EngineHarness, workflow_id: str) -> ExecutionJob:
    """A run that is recorded as queued and due, and whose job nobody has."""
    from shared.commands.executions.execute_workflow import ExecuteWorkflow, execute_workflow

    execution_id = await execute_workflow(harness.services, harness.actor, workflow_id, ExecuteWorkflow())
    await harness.services.redis.flushdb()
    return ExecutionJob(harness.tenant_id, execution_id, "resume")


async def test_run_that_has_waited_often_is_tried_as_often_as_any_other(harness: EngineHarness) -> None:
    """Delays are no errors: only our own errors count against a run, here a history that this version cannot read."""
    services, tenant_id, stream_id = harness.services, harness.tenant_id, new_id()
    strange = NewEvent(new_id(), "WrittenByAnotherVersion", timestamp(time.time()), {})
    await harness.services.events.append_one(Append(tenant_id, stream_id, "execution", 0, (strange,)))
    await services.producer.enqueue([ExecutionJob(tenant_id, stream_id, "resume")])
    for _ in range(5):
        claimed = None
        while claimed is None:
            claimed = await services.consumer.claim(new_id())
        await services.consumer.delay(claimed, 0.001)
    summaries = []
    while (await services.consumer.counts())["delayed"]:
        summaries.append(await harness.drain())
    assert (sum(one.delayed for one in summaries), sum(one.failed for one in summaries)) == (2, 1)
