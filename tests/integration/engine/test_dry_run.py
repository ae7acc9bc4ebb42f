"""Replays: what a dry run shows, that nothing leaves and nothing is stored, and what a live one starts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from shared.commands.executions.replay_execution import ReplayExecution, replay_execution
from shared.commands.workflows.update_workflow import UpdateWorkflow, update_workflow
from shared.engine.verify.dry_run import dry_run
from shared.errors import InvalidGraphError, UnprocessableError
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request, transform
from tests.integration.engine.sink import Sink, as_json


async def _dry(harness: EngineHarness, job: ExecutionJob, **fields: Any) -> JsonObject:
    """The comparison of a dry run."""
    command = ReplayExecution.model_validate({"mode": "dry_run", **fields})
    return await dry_run(harness.services, harness.guard, harness.actor, job.execution_id, command)


async def _draft(harness: EngineHarness, workflow_id: str, *nodes: JsonObject) -> None:
    """A draft that is not published: these nodes, one after the other."""
    edges = [{"source": one["id"], "target": other["id"]} for one, other in pairwise(nodes)]
    command = UpdateWorkflow(name="test", nodes=list(nodes), edges=edges)
    await update_workflow(harness.services, harness.actor, workflow_id, command)


NOW = {"at": "{% $now() %}", "chance": "{% $random() %}", "run": "{% $execution %}"}
CALLED = transform("text", "{% $nodes.call.body.n & $nodes.call.status %}")


async def _run(harness: EngineHarness, sink: Sink, *more: JsonObject) -> tuple[str, ExecutionJob]:
    """A finished run through a clock, an effect and a text, each after the other."""
    sink.answer = lambda _request: (200, {}, as_json({"n": 7}))
    call = request("call", sink.url, parameters={"body": "{% $nodes.clock %}"})
    nodes = [HOOK, transform("clock", NOW), call, CALLED, *more]
    edges = [f"{one['id']}>{other['id']}" for one, other in pairwise(nodes)]
    workflow_id = await harness.publish(nodes, *edges)
    job = harness.delivery(workflow_id, {"x": 1})
    assert (await harness.execute(job)).status == "succeeded"
    return workflow_id, job


async def test_same_version_makes_the_same_of_it(harness: EngineHarness, sink: Sink) -> None:
    """Clock, randomness and the effect's answer are the recorded ones; nothing is sent and nothing is recorded."""
    each = {
        "id": "each",
        "type": "map",
        "parameters": {"items": [1, 2], "body": {"nodes": [request("send", sink.url)]}},
    }
    _, job = await _run(harness, sink, delay("pause", seconds=0.01), each)
    before, sent = await harness.events(job), len(sink.received)
    found = await _dry(harness, job)
    assert (found["same"], found["first_difference"]) == (True, None)
    assert list(found["nodes"]) == ["hook", "clock", "call", "text", "pause", "each"]
    assert found["nodes"]["call"]["replayed"]["output"]["body"] == {"n": 7}
    assert (await harness.events(job), len(sink.received)) == (before, sent)
    rows = await harness.services.executions.list(harness.tenant_id, 10)
    assert len(rows) == 1


async def test_draft_is_compared_node_by_node(harness: EngineHarness, sink: Sink) -> None:
    """The recorded answer meets the draft's other text: the first difference is there, and what is the same is told."""
    workflow_id, job = await _run(harness, sink)
    call = request("call", sink.url, parameters={"body": "{% $nodes.clock %}"})
    text = transform("text", "{% 'n is ' & $nodes.call.body.n %}")
    await _draft(harness, workflow_id, HOOK, transform("clock", NOW), call, text)
    found = await _dry(harness, job, version="draft")
    assert found["first_difference"] == {"node_id": "text", "field": "output"}
    assert found["nodes"]["text"]["replayed"]["output"] == "n is 7"
    assert (found["nodes"]["call"]["same"], found["replayed"]["workflow_version"], len(sink.received)) == (True, 2, 1)


async def test_other_parameters_of_an_effect_are_a_difference(harness: EngineHarness, sink: Sink) -> None:
    """The recorded answer still answers, but what would be sent is shown to be another thing."""
    workflow_id, job = await _run(harness, sink)
    call = request("call", sink.url, parameters={"body": "another"})
    await _draft(harness, workflow_id, HOOK, transform("clock", NOW), call, CALLED)
    found = await _dry(harness, job, version="draft")
    assert found["first_difference"] == {"node_id": "call", "field": "parameters"}
    assert (found["nodes"]["call"]["replayed"]["parameters"]["body"], found["replayed"]["output"]) == (
        "another",
        "7200",
    )


async def test_unrecorded_effect_is_unknown(harness: EngineHarness, sink: Sink) -> None:
    """A new effect is not sent; what comes after it is not reached, what does not is compared."""
    workflow_id, job = await _run(harness, sink)
    await _draft(harness, workflow_id, HOOK, transform("clock", NOW), request("new", sink.url))
    found = await _dry(harness, job, version="draft")
    assert found["nodes"]["new"] == {
        "original": None,
        "replayed": {**found["nodes"]["new"]["replayed"], "status": "unknown", "output": None},
        "same": False,
    }
    assert (found["nodes"]["call"]["replayed"], found["replayed"]["status"], len(sink.received)) == (None, "unknown", 1)


async def test_recorded_failure_and_signal_answer_too(harness: EngineHarness, sink: Sink) -> None:
    """An effect that failed fails again without being sent; a wait takes the signal that came."""
    sink.answer = lambda _request: (404, {}, b"{}")
    wait = {"id": "wait", "type": "wait_for_signal", "parameters": {"name": "go"}}
    nodes = [HOOK, wait, request("call", sink.url, on_error="continue"), transform("code", "{% $input.code %}")]
    job = harness.delivery(await harness.publish(nodes, "hook>wait", "wait>call", "call>code"))
    await harness.execute(job)
    await harness.signal(job, "go", {"by": "Ada"})
    await harness.new_engine("next").execute(job, is_first_claim=False)
    found = await _dry(harness, job)
    assert (found["same"], found["replayed"]["output"]) == (True, "http_4xx")
    assert found["nodes"]["wait"]["replayed"]["output"] == {"by": "Ada"}


async def test_called_run_is_not_called_again(harness: EngineHarness) -> None:
    """What the called run gave stands in for it; another input for it is a difference."""
    child = await harness.publish([{"id": "start", "type": "manual_trigger"}, transform("n", 7)], "start>n")
    ask = call("ask", child, parameters={"input": "{% $trigger.body %}"})
    job = harness.delivery(await harness.publish([HOOK, ask], "hook>ask"), 1)
    await harness.execute(job)
    await harness.drain()
    same, other = await _dry(harness, job), await _dry(harness, job, input=2)
    assert (same["same"], same["replayed"]["output"]) == (True, 7)
    assert (other["nodes"]["ask"]["same"], other["nodes"]["ask"]["replayed"]["parameters"]["input"]) == (False, 2)
    assert len(await harness.services.executions.list(harness.tenant_id, 10)) == 2


async def test_what_has_not_ended_in_the_original_is_no_difference(harness: EngineHarness) -> None:
    """A run that still waits is compared as far as it has come."""
    wait = {"id": "wait", "type": "wait_for_signal", "parameters": {"name": "go"}}
    job = harness.delivery(await harness.publish([HOOK, wait, transform("n", 1)], "hook>wait", "wait>n"))
    await harness.execute(job)
    found = await _dry(harness, job)
    assert (found["same"], found["replayed"]["status"], found["original"]["status"]) == (True, "unknown", "waiting")


async def test_other_input_takes_another_path(harness: EngineHarness) -> None:
    """With an input, the run is tried with that instead of what started it."""
    check = {"id": "check", "type": "if", "parameters": {"condition": "{% $trigger.body.n > 1 %}"}}
    nodes = [HOOK, check, transform("yes", "yes"), transform("no", "no")]
    job = harness.delivery(await harness.publish(nodes, "hook>check", "check.true>yes", "check.false>no"), {"n": 5})
    await harness.execute(job)
    found = await _dry(harness, job, input={"n": 0})
    # The trigger's output is what started the run.
    assert found["first_difference"] == {"node_id": "hook", "field": "output"}
    assert (found["nodes"]["check"]["replayed"]["handle"], found["replayed"]["output"]) == ("false", "no")


async def test_draft_that_cannot_run_is_refused(harness: EngineHarness, sink: Sink) -> None:
    """A draft with problems says which; one without a fitting trigger says that."""
    workflow_id, job = await _run(harness, sink)
    await _draft(harness, workflow_id, HOOK, {"id": "a", "type": "nothing"})
    with pytest.raises(InvalidGraphError):
        await _dry(harness, job, version="draft")
    await _draft(harness, workflow_id, {"id": "start", "type": "manual_trigger"}, transform("a", 1))
    with pytest.raises(UnprocessableError, match="no trigger"):
        await _dry(harness, job, version="draft")


async def test_live_replay_is_a_new_run(harness: EngineHarness, sink: Sink) -> None:
    """It starts from the same trigger, sends under keys of its own, and says what it replays."""
    _, job = await _run(harness, sink)
    command = ReplayExecution(mode="live", input={"x": 2})
    execution_id = await replay_execution(harness.services, harness.actor, job.execution_id, command, "key")
    assert await replay_execution(harness.services, harness.actor, job.execution_id, command, "key") == execution_id
    state = await harness.execute(ExecutionJob(harness.tenant_id, execution_id, "resume"))
    assert (state.status, state.replayed_from, state.trigger["body"]) == ("succeeded", job.execution_id, {"x": 2})
    assert (state.trigger["type"], len({one.key for one in sink.received})) == ("webhook", 2)


async def test_called_runs_answer_as_they_did(harness: EngineHarness) -> None:
    """A dry run calls nobody: what the called run yielded, or failed with, is taken from the recorded run."""
    other = await harness.publish([{"id": "start", "type": "manual_trigger"}, transform("say", "once")], "start>say")
    workflow_id = await harness.publish(
        [HOOK, call("ask", other), transform("told", "{% $input %}")], "hook>ask", "ask>told"
    )
    job = harness.delivery(workflow_id)
    await harness.services.producer.enqueue([job])
    await harness.drain()
    await _draft(harness, workflow_id, HOOK, call("ask", other), transform("told", "{% $input & ' more' %}"))
    shown = await _dry(harness, job, version="draft")
    runs = await harness.services.executions.list(harness.tenant_id, 10)
    assert shown["nodes"]["ask"]["same"] is True
    assert shown["first_difference"]["node_id"] == "told"
    assert shown["nodes"]["told"]["replayed"]["output"] == "once more"
    assert len(runs) == 2
