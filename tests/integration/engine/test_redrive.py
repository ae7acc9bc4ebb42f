"""Runs that failed or were cancelled, and go on: what is done again, what is not, and under which keys."""

from __future__ import annotations

import asyncio
import json

import pytest

from shared.commands.executions.cancel_execution import CancelExecution, cancel_execution
from shared.commands.executions.redrive_execution import redrive_execution
from shared.commands.workflows.create_workflow import CreateWorkflow, create_workflow
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.domain.execution.state import ExecutionState
from shared.engine.run.graph_cache import PUBLISHED_SECONDS
from shared.errors import ExecutionFinishedError, ExecutionNotFinishedError, NotFoundError
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request, transform
from tests.integration.engine.sink import Sink

START: JsonObject = {"id": "start", "type": "manual_trigger"}
EDGE = {"source": "hook", "target": "last"}


def _broken_until(sink: Sink, count: int) -> None:
    """The path /broken is answered 500 until it has been asked so often."""
    asked = sink.received
    sink.answer = lambda one: (
        (500, {}, b"")
        if one.path == "/broken" and sum(r.path == "/broken" for r in asked) <= count
        else (200, {}, b"{}")
    )


async def test_redrive_does_what_failed_and_what_never_ran(harness: EngineHarness, sink: Sink) -> None:
    """The failed effect is sent again with its key, what was skipped after it runs, and what completed does not."""
    _broken_until(sink, 1)
    workflow_id = await harness.publish(
        [HOOK, request("one", sink.url + "/fine"), request("two", sink.url + "/broken"), transform("last", "done")],
        *("hook>one", "one>two", "two>last"),
    )
    job = harness.delivery(workflow_id)
    failed = await harness.execute(job)
    assert (failed.status, failed.nodes["last"].status) == ("failed", "skipped")
    state = await harness.redrive(job)
    assert (state.status, state.output, state.error) == ("succeeded", "done", None)
    assert [one.path for one in sink.received] == ["/fine", "/broken", "/broken"]
    assert sink.received[1].key == sink.received[2].key
    assert (state.nodes["two"].attempts, state.nodes["one"].attempts) == (2, 1)
    assert (await harness.verify(job))["first_difference"] is None


async def test_row_of_a_redriven_run_is_due_until_it_ends_again(harness: EngineHarness, sink: Sink) -> None:
    """In the read model the run is running again, without its error and its end, and somebody will look at it."""
    sink.answer = lambda _request: (500, {}, b"")
    job = harness.delivery(await harness.publish([HOOK, request("call", sink.url)], "hook>call"))
    await harness.execute(job)
    await redrive_execution(harness.services, harness.actor, job.execution_id)
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert row is not None
    assert (row["status"], row["error"], row["finished_at"]) == ("running", None, None)
    assert row["wake_at"] is not None
    with pytest.raises(ExecutionNotFinishedError):
        await redrive_execution(harness.services, harness.actor, job.execution_id)


async def test_retriers_count_from_the_redrive(harness: EngineHarness, sink: Sink) -> None:
    """Attempts go on counting; how many a retrier allows is counted anew."""
    sink.answer = lambda _request: (500, {}, b"")
    retry = [{"errors": ["http_5xx"], "max_attempts": 2, "initial_interval_seconds": 0}]
    job = harness.delivery(await harness.publish([HOOK, request("call", sink.url, retry=retry)], "hook>call"))
    await harness.execute(job)
    state = await harness.redrive(job)
    assert (state.status, state.nodes["call"].attempts, len(sink.received)) == ("failed", 4, 4)
    assert (await harness.verify(job))["valid"]


async def test_cancelled_wait_begins_anew(harness: EngineHarness) -> None:
    """A redriven delay waits for its whole time from then, and the run goes on after it."""
    workflow_id = await harness.publish(
        [HOOK, delay("pause", seconds=3600), transform("last", 1)], "hook>pause", "pause>last"
    )
    job = harness.delivery(workflow_id)
    before = (await harness.execute(job)).nodes["pause"].wake_at
    await cancel_execution(harness.services, harness.actor, job.execution_id, CancelExecution(reason=None))
    state = await harness.redrive(job)
    after = state.nodes["pause"].wake_at
    assert before is not None
    assert after is not None
    assert (state.status, after > before) == ("waiting", True)
    ended = await harness.execute_later(job, 3600)
    assert (ended.status, ended.output) == ("succeeded", 1)
    assert (await harness.verify(job))["first_difference"] is None


async def test_handled_failure_is_not_done_again(harness: EngineHarness, sink: Sink) -> None:
    """A failure that the workflow routes is an outcome like any other: only what failed the run is redriven."""
    _broken_until(sink, 99)
    workflow_id = await harness.publish(
        [
            HOOK,
            request("routed", sink.url + "/broken", on_error="route"),
            transform("sorry", 1),
            {"id": "no", "type": "fail", "parameters": {}},
        ],
        *("hook>routed", "routed.error>sorry", "hook>no"),
    )
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    state = await harness.redrive(job)
    assert (state.status, state.nodes["no"].attempts) == ("failed", 2)
    assert (state.nodes["routed"].attempts, len(sink.received)) == (1, 1)


async def test_map_does_its_failed_items_again(harness: EngineHarness, sink: Sink) -> None:
    """Items that succeeded are kept with their outputs; the failed one is sent again, with its key."""
    _broken_until(sink, 1)
    body = {"nodes": [request("send", sink.url + "{% $item %}"), transform("n", "{% $index %}")]}
    body["edges"] = [{"source": "send", "target": "n"}]
    each = {"id": "each", "type": "map", "parameters": {"items": ["/a", "/broken", "/c"], "body": body}}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    assert (await harness.execute(job)).status == "failed"
    state = await harness.redrive(job)
    assert (state.status, state.output) == ("succeeded", [0, 1, 2])
    sent = [one.path for one in sink.received]
    assert (sorted(sent[:3]), sent[3:]) == (["/a", "/broken", "/c"], ["/broken"])
    assert (await harness.verify(job))["first_difference"] is None


async def test_map_that_was_cancelled_goes_on(harness: EngineHarness, sink: Sink) -> None:
    """Items that waited when the run was cancelled wait again; those that had ended are not run again."""
    nodes = [transform("n", "{% $item %}"), delay("pause", seconds="{% $item = 2 ? 3600 : 0 %}")]
    body = {"nodes": nodes, "edges": [{"source": "n", "target": "pause"}]}
    each = {"id": "each", "type": "map", "parameters": {"items": [1, 2, 3], "body": body}}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    await harness.execute(job)
    await cancel_execution(harness.services, harness.actor, job.execution_id, CancelExecution(reason=None))
    waiting = await harness.redrive(job)
    assert waiting.status == "waiting"
    state = await harness.execute_later(job, 3600)
    assert (state.status, state.output) == ("succeeded", [1, 2, 3])
    started = [one.payload for one in await harness.events(job) if one.event_type == "ItemSucceeded"]
    assert [one["index"] for one in started] == [0, 2, 1]
    assert (await harness.verify(job))["first_difference"] is None


async def _drained(harness: EngineHarness, job: ExecutionJob) -> ExecutionState:
    """The run after it was redriven and drains have done all there was to do."""
    await redrive_execution(harness.services, harness.actor, job.execution_id)
    await harness.drain()
    assert (await harness.verify(job))["first_difference"] is None
    return await harness.state(job)


async def _calling(harness: EngineHarness, sink: Sink, *nodes: JsonObject) -> ExecutionJob:
    """A run that fails because the one that it calls does, after an effect that was done."""
    _broken_until(sink, 1)
    child = [START, request("fine", sink.url + "/fine"), request("call", sink.url + "/broken"), transform("n", 7)]
    called = await harness.publish(child, "start>fine", "fine>call", "call>n")
    text = json.dumps(nodes).replace("CALLED", called)
    job = harness.delivery(await harness.publish([HOOK, *json.loads(text)], *(f"hook>{one['id']}" for one in nodes)))
    await harness.execute(job)
    await harness.drain()
    assert (await harness.state(job)).status == "failed"
    return job


async def test_called_run_goes_on_with_its_caller(harness: EngineHarness, sink: Sink) -> None:
    """The run that was called is redriven too: what it had done is not done again, and its output comes back."""
    job = await _calling(harness, sink, call("ask", "CALLED"))
    before = (await harness.state(job)).nodes["ask"].called
    state = await _drained(harness, job)
    assert (state.status, state.output, state.nodes["ask"].called) == ("succeeded", 7, before)
    assert [one.path for one in sink.received] == ["/fine", "/broken", "/broken"]


async def test_called_run_that_went_on_alone_is_taken_as_it_ended(harness: EngineHarness, sink: Sink) -> None:
    """Somebody may have redriven the called run first: its caller then takes what came of it."""
    job = await _calling(harness, sink, call("ask", "CALLED"))
    called = (await harness.state(job)).nodes["ask"].called
    assert called is not None
    await _drained(harness, ExecutionJob(harness.tenant_id, called, "resume"))
    assert (await _drained(harness, job)).output == 7
    assert len(sink.received) == 3


async def test_item_that_calls_calls_anew(harness: EngineHarness, sink: Sink) -> None:
    """An item that has failed begins again, and so does the run that it calls."""
    parameters = {"items": [1], "body": {"nodes": [call("ask", "CALLED")]}}
    job = await _calling(harness, sink, {"id": "each", "type": "map", "parameters": parameters})
    assert (await _drained(harness, job)).output == [7]
    assert [one.path for one in sink.received] == ["/fine", "/broken", "/fine", "/broken"]


async def test_cancelled_run_goes_on_with_what_it_called(harness: EngineHarness) -> None:
    """A cancellation cascades, and so does the redrive: the called run waits again, and its caller for it."""
    child = await harness.publish([START, delay("pause", seconds=1), transform("n", 7)], "start>pause", "pause>n")
    job = harness.delivery(await harness.publish([HOOK, call("ask", child)], "hook>ask"))
    await harness.execute(job)
    await cancel_execution(harness.services, harness.actor, job.execution_id, CancelExecution(reason=None))
    state = await _drained(harness, job)
    assert (state.status, state.output) == ("succeeded", 7)


async def test_run_that_could_not_start_is_started(harness: EngineHarness) -> None:
    """Once its workflow is published, a redrive starts what had failed for want of a version."""
    workflow = await create_workflow(
        harness.services, harness.actor, CreateWorkflow(name="late", nodes=[HOOK, transform("last", 1)], edges=[EDGE])
    )
    job = harness.delivery(workflow.id)
    assert ((await harness.execute(job)).error or {})["code"] == "not_published"
    assert (await harness.verify(job))["valid"]
    await publish_workflow(harness.services, harness.actor, workflow.id)
    await asyncio.sleep(PUBLISHED_SECONDS)
    state = await harness.redrive(job)
    assert (state.status, state.output) == ("succeeded", 1)
    assert (await harness.verify(job))["first_difference"] is None


async def test_only_what_failed_or_was_cancelled_is_redriven(harness: EngineHarness) -> None:
    """A run that succeeded has nothing to redo, and an unknown one is not found."""
    job = harness.delivery(await harness.publish([HOOK, transform("last", 1)], "hook>last"))
    await harness.execute(job)
    with pytest.raises(ExecutionFinishedError):
        await redrive_execution(harness.services, harness.actor, job.execution_id)
    with pytest.raises(NotFoundError):
        await redrive_execution(harness.services, harness.actor, new_id())
