"""Runs that begin in the middle of another: what is kept, what is done, and what the store holds of it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.commands.executions.fork_execution import ForkExecution, fork_execution
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.update_workflow import UpdateWorkflow, update_workflow
from shared.domain.execution.state import ExecutionState
from shared.errors import IdempotencyConflictError, NotFoundError, UnprocessableError
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.sink import Sink, as_json


async def _forked(harness: EngineHarness, job: ExecutionJob, **fields: Any) -> tuple[ExecutionJob, ExecutionState]:
    """The job of a fork, and the state in which its run ends."""
    command = ForkExecution.model_validate(fields)
    execution_id = await fork_execution(harness.services, harness.actor, job.execution_id, command)
    fork = ExecutionJob(harness.tenant_id, execution_id, "resume")
    state = await harness.execute(fork)
    assert (await harness.verify(fork))["first_difference"] is None
    return fork, state


async def _chain(harness: EngineHarness, sink: Sink) -> tuple[str, ExecutionJob]:
    """A run through two effects and a text of both."""
    nodes = [
        HOOK,
        request("one", sink.url + "/one"),
        request("two", sink.url + "/two", parameters={"body": "{% $nodes.one.body %}"}),
        transform("text", "{% $nodes.one.body.n & ' ' & $nodes.two.body.n %}"),
    ]
    sink.answer = lambda _request: (200, {}, as_json({"n": len(sink.received)}))
    workflow_id = await harness.publish(nodes, "hook>one", "one>two", "two>text")
    job = harness.delivery(workflow_id, {"a": 1})
    assert (await harness.execute(job)).output == "1 2"
    return workflow_id, job


async def _publish(harness: EngineHarness, workflow_id: str, nodes: list[JsonObject], *edges: tuple[str, str]) -> None:
    """Another version."""
    drawn = [{"source": source, "target": target} for source, target in edges]
    command = UpdateWorkflow(name="test", nodes=nodes, edges=drawn)
    await update_workflow(harness.services, harness.actor, workflow_id, command)
    await publish_workflow(harness.services, harness.actor, workflow_id)


async def test_fork_keeps_what_came_before_its_node(harness: EngineHarness, sink: Sink) -> None:
    """The node and what comes after it are done anew, under keys of the new run; what came before is not."""
    _, job = await _chain(harness, sink)
    fork, state = await _forked(harness, job, from_node="two")
    assert (state.output, state.forked_from, state.nodes["one"].status) == ("1 3", job.execution_id, "succeeded")
    assert [one.path for one in sink.received] == ["/one", "/two", "/two"]
    assert sink.received[1].key != sink.received[2].key
    row = await harness.services.executions.get(harness.tenant_id, fork.execution_id)
    assert row is not None
    assert row["forked_from"] == job.execution_id


async def test_output_replaces_the_node(harness: EngineHarness, sink: Sink) -> None:
    """With an output, the node is not run: what comes after it sees the output."""
    _, job = await _chain(harness, sink)
    _, state = await _forked(harness, job, from_node="two", output={"body": {"n": "ours"}})
    assert (state.output, len(sink.received)) == ("1 ours", 2)
    _, state = await _forked(harness, job, from_node="two", output=None)
    assert state.output == "1 "


async def test_fork_runs_on_another_version(harness: EngineHarness, sink: Sink) -> None:
    """Nodes of the version that the run did not have are done, those that it had keep what they did."""
    workflow_id, job = await _chain(harness, sink)
    nodes = [
        HOOK,
        request("one", sink.url),
        transform("new", "{% $nodes.one.body.n + 1 %}"),
        transform("text", "{% $input %}"),
    ]
    await _publish(harness, workflow_id, nodes, ("hook", "one"), ("one", "new"), ("new", "text"))
    _, state = await _forked(harness, job, from_node="text", version="published")
    assert (state.output, state.workflow_version, len(sink.received)) == (2, 2, 2)


async def test_fork_of_a_failed_run_does_what_had_failed_elsewhere(harness: EngineHarness, sink: Sink) -> None:
    """A failure that failed the run is no outcome to keep, whichever branch it was in."""
    sink.answer = lambda one: (500 if one.path == "/broken" and len(sink.received) < 3 else 200, {}, b"{}")
    nodes = [HOOK, request("broken", sink.url + "/broken"), transform("after", 1), request("fine", sink.url + "/fine")]
    job = harness.delivery(await harness.publish(nodes, "hook>broken", "broken>after", "hook>fine"))
    assert (await harness.execute(job)).status == "failed"
    _, state = await _forked(harness, job, from_node="fine")
    assert (state.status, state.nodes["after"].status) == ("succeeded", "succeeded")


async def test_map_is_kept_with_its_output(harness: EngineHarness) -> None:
    """What a map yielded is one fact of the fork, not a copy of its items."""
    body = {"nodes": [transform("double", "{% $item * 2 %}")]}
    each = {"id": "each", "type": "map", "parameters": {"items": [1, 2, 3], "body": body}}
    nodes = [HOOK, each, transform("sum", "{% $sum($nodes.each) %}")]
    job = harness.delivery(await harness.publish(nodes, "hook>each", "each>sum"))
    await harness.execute(job)
    fork, state = await _forked(harness, job, from_node="sum")
    assert state.output == 12
    names = [one.event_type for one in await harness.events(fork)]
    assert names == ["ExecutionQueued", "ExecutionStarted", "NodeSucceeded", "NodeSucceeded", "ExecutionSucceeded"]


async def test_passed_on_input_is_kept(harness: EngineHarness) -> None:
    """Nodes that pass their input on, and those that were skipped, are in the fork as they were."""
    check = {"id": "check", "type": "if", "parameters": {"condition": "{% $trigger.body.n = 1 %}"}}
    nodes = [HOOK, transform("n", 7), check, transform("yes", "{% $input %}"), transform("no", 0)]
    job = harness.delivery(
        await harness.publish(nodes, "hook>n", "n>check", "check.true>yes", "check.false>no"), {"n": 1}
    )
    await harness.execute(job)
    _, state = await _forked(harness, job, from_node="yes")
    assert (state.output, state.nodes["no"].status, state.nodes["check"].output) == (7, "skipped", 7)


async def test_large_outputs_are_stored_once(harness: EngineHarness) -> None:
    """A payload that is kept by its content is referenced by the fork, and not stored again."""
    nodes = [HOOK, transform("large", "{% [1..9000] %}"), transform("count", "{% $count($nodes.large) %}")]
    job = harness.delivery(await harness.publish(nodes, "hook>large", "large>count"), {"a": 1})
    await harness.execute(job)
    before = await harness.services.database.select(
        "payloads", "sha256", lambda q: q.eq("tenant_id", harness.tenant_id)
    )
    _, state = await _forked(harness, job, from_node="count")
    after = await harness.services.database.select("payloads", "sha256", lambda q: q.eq("tenant_id", harness.tenant_id))
    assert (state.output, len(before), after) == (9000, 1, before)


async def test_same_key_is_one_fork(harness: EngineHarness, sink: Sink) -> None:
    """A repeated request under its key is the same run; another request under it is refused."""
    _, job = await _chain(harness, sink)
    command = ForkExecution(from_node="text")
    first, again = [
        await fork_execution(harness.services, harness.actor, job.execution_id, command, "key") for _ in range(2)
    ]
    assert first == again
    with pytest.raises(IdempotencyConflictError):
        await fork_execution(harness.services, harness.actor, job.execution_id, ForkExecution(from_node="two"), "key")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"from_node": "tow"}, "/from_node"),
        ({"from_node": "each[3].charge"}, "/from_node"),
        ({"from_node": "hook", "output": 1}, "/output"),
        ({"from_node": "check", "output": 1}, "/output"),
        ({"from_node": "other"}, "/from_node"),
        ({"from_node": "two", "version": 9}, "/version"),
    ],
)
async def test_what_cannot_be_forked_is_refused(harness: EngineHarness, fields: JsonObject, pointer: str) -> None:
    """The problem says which field is wrong."""
    other = {"id": "other", "type": "manual_trigger"}
    check = {"id": "check", "type": "if", "parameters": {"condition": True}}
    job = harness.delivery(await harness.publish([HOOK, other, check, transform("two", 1)], "hook>check", "other>two"))
    await harness.execute(job)
    with pytest.raises(UnprocessableError) as refused:
        await _forked(harness, job, **fields)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


async def test_kept_node_of_another_type_is_refused(harness: EngineHarness, sink: Sink) -> None:
    """What a node did cannot stand for another node's doing because they share an id."""
    workflow_id, job = await _chain(harness, sink)
    await _publish(
        harness, workflow_id, [HOOK, transform("one", 1), transform("text", 1)], ("hook", "one"), ("one", "text")
    )
    with pytest.raises(UnprocessableError, match="forked so"):
        await _forked(harness, job, from_node="text", version=2)


async def test_unknown_run_is_not_found(harness: EngineHarness) -> None:
    """Another tenant's run is as unknown."""
    with pytest.raises(NotFoundError):
        await fork_execution(harness.services, harness.actor, new_id(), ForkExecution(from_node="one"))
