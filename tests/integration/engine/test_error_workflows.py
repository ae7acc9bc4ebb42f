"""A workflow's error workflow: told of each failure once, with what there is to know, and never of its own."""

from __future__ import annotations

import pytest

from shared.domain.execution.state import ExecutionState
from shared.errors import InvalidGraphError
from shared.events.execution import ErrorWorkflowStarted, ExecutionQueued, ExecutionStarted
from shared.events.node import NodeFailed
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, call, transform
from tests.integration.engine.test_calls import START, called_runs
from tests.integration.http.runs import append

FAIL: JsonObject = {"id": "stop", "type": "fail", "parameters": {"code": "no_stock", "message": "None left."}}


async def telling(harness: EngineHarness) -> str:
    """An error workflow that passes on what it is told."""
    return await harness.publish([START, transform("told", "{% $trigger.body %}")], "start>told")


async def error_run(harness: EngineHarness, job: ExecutionJob) -> ExecutionState:
    """The one error run of this run, after a drain."""
    await harness.drain()
    (found,) = await called_runs(harness, job)
    return await harness.state(found)


async def test_failed_run_tells_its_error_workflow(harness: EngineHarness) -> None:
    """The error run has the failed run, its trigger, the error and the node as its `$trigger.body`."""
    tell = await telling(harness)
    workflow_id = await harness.publish([HOOK, FAIL], "hook>stop", error_workflow_id=tell)
    job = harness.delivery(workflow_id, {"order": 7})
    failed = await harness.execute(job)
    told = await error_run(harness, job)
    error: JsonObject = {"code": "no_stock", "message": "None left."}
    assert (failed.status, told.status, told.trigger["type"], told.parent_id) == (
        "failed",
        "succeeded",
        "error",
        job.execution_id,
    )
    assert failed.error_run is not None
    assert failed.error_run.execution_id == told.id
    assert told.output["execution"]["id"] == job.execution_id
    assert told.output["execution"]["trigger"]["body"] == {"order": 7}
    assert told.output["workflow"] == {"id": workflow_id, "version": 1}
    assert told.output["error"] == {**error, "node_id": "stop"}
    assert told.output["node"] == {"id": "stop", "attempts": 1, "error": error}
    assert (await harness.verify(job))["first_difference"] is None


async def test_run_that_succeeds_tells_nobody(harness: EngineHarness) -> None:
    """Nor does one whose failed node is handled."""
    tell = await telling(harness)
    workflow_id = await harness.publish([HOOK, {**FAIL, "on_error": "continue"}], "hook>stop", error_workflow_id=tell)
    job = harness.delivery(workflow_id)
    assert (await harness.execute(job)).status == "succeeded"
    assert await called_runs(harness, job) == []


async def test_error_run_that_fails_tells_nobody(harness: EngineHarness) -> None:
    """Neither its own error workflow nor, where it calls others, theirs."""
    failing = await harness.publish([START, FAIL], "start>stop")
    await harness.publish_again(failing, [START, FAIL], "start>stop", error_workflow_id=failing)
    tell = await harness.publish([START, call("ask", failing)], "start>ask")
    await harness.publish_again(tell, [START, call("ask", failing)], "start>ask", error_workflow_id=tell)
    job = harness.delivery(await harness.publish([HOOK, FAIL], "hook>stop", error_workflow_id=tell))
    await harness.execute(job)
    told = await error_run(harness, job)
    below = await called_runs(harness, ExecutionJob(harness.tenant_id, told.id, "resume"))
    assert (told.status, (told.error or {})["code"]) == ("failed", "no_stock")
    assert [await called_runs(harness, one) for one in below] == [[]]


@pytest.mark.parametrize("started", [False, True], ids=["before", "after"])
async def test_drain_that_dies_between_telling_and_failing_tells_once(harness: EngineHarness, started: bool) -> None:
    """The error run that was recorded is the one that is started, however often."""
    tell = await telling(harness)
    workflow_id = await harness.publish([START, FAIL], "start>stop", error_workflow_id=tell)
    job, error_id = await harness.start(workflow_id), new_id()
    failed = NodeFailed("stop", 1, {"code": "no_stock", "message": "None left."}, "fail", 0)
    facts = (ExecutionStarted(1, "start"), failed, ErrorWorkflowStarted(error_id, tell, 1))
    await append(harness.services, harness.tenant_id, job.execution_id, *facts)
    if started:
        caller = {"node_id": None, "depth": 0, "is_awaited": False, "handles_error": True}
        trigger = {"type": "error", "body": {}, "headers": {}, "query": {}, "method": "POST"}
        queued = ExecutionQueued(tell, 1, trigger, job.execution_id, caller=caller)
        await append(harness.services, harness.tenant_id, error_id, queued)
    state = await harness.execute(job)
    told = await error_run(harness, job)
    assert (state.status, told.id, told.status) == ("failed", error_id, "succeeded")


async def test_error_workflow_that_is_not_published_stops_no_failure(harness: EngineHarness) -> None:
    """The run fails as it would without one."""
    tell = await telling(harness)
    job = harness.delivery(await harness.publish([HOOK, FAIL], "hook>stop", error_workflow_id=tell))
    await harness.unpublish(tell)
    state = await harness.execute(job)
    assert (state.status, state.error_run) == ("failed", None)


async def test_job_that_cannot_be_carried_out_tells_too(harness: EngineHarness) -> None:
    """A run that its drains died of has begun, and its error workflow hears of it."""
    tell = await telling(harness)
    job = harness.delivery(await harness.publish([HOOK, call("ask", tell)], "hook>ask", error_workflow_id=tell))
    await harness.execute(job)
    await harness.engine.fail(job, "drain_died", "The drain that ran this died several times.")
    await harness.drain()
    told = [await harness.state(one) for one in await called_runs(harness, job)]
    assert [one.output["error"]["code"] for one in told if one.trigger["type"] == "error"] == ["drain_died"]


async def test_publishing_refuses_an_error_workflow_that_is_not_there(harness: EngineHarness) -> None:
    """With a pointer to the setting."""
    with pytest.raises(InvalidGraphError) as refused:
        await harness.publish([HOOK, FAIL], "hook>stop", error_workflow_id=new_id())
    assert [problem.pointer for problem in refused.value.problems] == ["/settings/error_workflow_id"]
