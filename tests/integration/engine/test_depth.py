"""How deep a node's output may be nested and how large it may be, however it came to be so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.json.values import MAX_DEPTH, deeper_than
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.verify.verification import first_difference
from shared.events.codec import encode
from shared.events.node import NodeSucceeded
from shared.json_types import JsonObject
from shared.nodes.node_type import MAX_JOINED_BYTES
from tests.integration.engine.harness import HOOK, EngineHarness, transform


def nested(depth: int) -> Any:
    """Lists in one another."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def passing_on(kind: str, index: int) -> JsonObject:
    """A node whose output is a level deeper than its inputs."""
    if kind == "merge":
        return {"id": f"n{index}", "type": "merge", "parameters": {"mode": "list"}}
    if kind == "disabled":
        return {**transform(f"n{index}", 1), "disabled": True}
    if kind == "map":
        body = {"nodes": [{"id": "same", "type": "transform", "parameters": {"value": "{% $item %}"}}]}
        return {"id": f"n{index}", "type": "map", "parameters": {"items": ["{% $input %}"], "body": body}}
    return transform(f"n{index}", ["{% $input %}"])


@pytest.mark.parametrize("kind", ["transform", "merge", "disabled", "map"])
async def test_output_that_is_too_deep_fails_its_node(harness: EngineHarness, kind: str) -> None:
    """Levels that nodes add one by one end at the same depth as those of a body; the run can be derived again."""
    nodes = [HOOK, transform("seed", "{% $trigger.body %}"), transform("side", 1)]
    edges, last = ["hook>seed", "hook>side"], "seed"
    for index in range(12):
        nodes.append(passing_on(kind, index))
        edges += [f"{last}>n{index}"] + [f"side>n{index}"] * (kind in ("merge", "disabled"))
        last = f"n{index}"
    job = harness.delivery(await harness.publish(nodes, *edges), nested(MAX_DEPTH - 10))
    state = await harness.execute(job)
    assert state.error is not None
    assert (state.status, state.error["code"], state.error["node_id"]) == ("failed", "limit", "n10")
    assert not any(deeper_than(record.output, MAX_DEPTH) for record in state.nodes.values())
    assert (await harness.verify(job))["first_difference"] is None


async def test_run_whose_data_is_too_deep_stops_no_other(harness: EngineHarness) -> None:
    """Three hundred nodes each add a level, and one reads the last: another run of the same process ends meanwhile."""
    nodes = [HOOK, *(transform(f"n{index}", ["{% $input %}"]) for index in range(300))]
    edges = [f"n{index}>n{index + 1}" for index in range(299)]
    deep = harness.delivery(await harness.publish(nodes, "hook>n0", *edges), nested(90))
    assert (await harness.execute(deep)).status == "failed"
    other = harness.delivery(await harness.publish([HOOK, transform("t", "{% $trigger.body + 1 %}")], "hook>t"), 1)
    assert (await harness.execute(other)).output == 2


async def test_called_runs_output_counts_as_the_nodes_own(harness: EngineHarness) -> None:
    """What a called run yields is bounded where it arrives."""
    leaves = [transform("a", "{% $trigger.body %}"), transform("b", 1)]
    called = await harness.publish([HOOK, *leaves], "hook>a", "hook>b")
    call = {"id": "call", "type": "call_workflow", "parameters": {"workflow_id": called, "input": nested(MAX_DEPTH)}}
    job = harness.delivery(await harness.publish([HOOK, call], "hook>call"))
    await harness.execute(job)
    await harness.drain()
    state = await harness.state(job)
    assert state.error is not None
    assert (state.error["code"], state.error["node_id"]) == ("limit", "call")
    assert (await harness.verify(job))["first_difference"] is None


async def test_run_from_before_there_was_a_greatest_depth_is_derived_again(harness: EngineHarness) -> None:
    """The version of the fact says whether its output had a limit of depth when it was recorded."""
    nodes = [HOOK, transform("seed", "{% $trigger.body %}"), transform("deeper", ["{% $nodes.seed %}"])]
    workflow_id = await harness.publish(nodes, "hook>seed", "seed>deeper")
    job = harness.delivery(workflow_id, nested(MAX_DEPTH))
    assert (await harness.execute(job)).status == "failed"
    row = await harness.services.workflows.version(harness.tenant_id, workflow_id, 1)
    assert row is not None
    *before, failed, _ = await harness.events(job)
    fact = NodeSucceeded("deeper", 1, nested(MAX_DEPTH + 1), ["out"], failed.payload["evaluated_at"], [])
    for version, is_sound in ((1, True), (2, False)):
        metadata = {**failed.metadata, "schema_version": version}
        event = replace(failed, event_type="NodeSucceeded", payload=encode(fact), metadata=metadata)
        difference = await first_difference([*before, event], CompiledWorkflow.from_row(row), harness.guard)
        assert (difference is None) == is_sound


@pytest.mark.parametrize("kind", ["disabled", "if", "merge", "map"])
async def test_output_that_doubles_from_node_to_node_fails_in_time(harness: EngineHarness, kind: str) -> None:
    """What is passed on is not stored again, but it would be written wherever it is read: twenty doublings of a
    kilobyte are a gigabyte."""
    nodes, edges, last = [HOOK], [], "hook"
    for level in range(20):
        for side in ("a", "b"):
            nodes.append({**transform(f"{side}{level}", 1), "disabled": True})
            edges += [f"{last}>{side}{level}", f"{side}{level}>join{level}"]
        nodes.append(joining(kind, f"join{level}"))
        last = f"join{level}{'.true' if kind == 'if' else ''}"
    nodes.append(transform("reads", "{% $count($keys($input)) %}"))
    job = harness.delivery(await harness.publish(nodes, *edges, f"{last}>reads"), "x" * 1_000)
    state = await harness.execute(job)
    assert state.error is not None
    assert (state.status, state.error["code"]) == ("failed", "limit")
    assert max(record.output_bytes for record in state.nodes.values()) <= MAX_JOINED_BYTES
    assert (await harness.verify(job))["first_difference"] is None


def joining(kind: str, node_id: str) -> JsonObject:
    """A node with two predecessors whose output is both of theirs."""
    if kind == "if":
        return {"id": node_id, "type": "if", "join": "all", "parameters": {"condition": True}}
    if kind == "merge":
        return {"id": node_id, "type": "merge", "join": "all", "parameters": {"mode": "object"}}
    if kind == "map":
        body = {"nodes": [{**transform("same", 1), "disabled": True}]}
        return {
            "id": node_id,
            "type": "map",
            "join": "all",
            "parameters": {"items": "{% [$input, $input] %}", "body": body},
        }
    return {**transform(node_id, 1), "disabled": True, "join": "all"}


async def test_leaves_that_together_are_too_large_fail_the_run(harness: EngineHarness) -> None:
    """A hundred nodes pass a megabyte on each: no node has failed, and the run's output cannot be written."""
    nodes = [{**transform(f"n{index}", 1), "disabled": True} for index in range(100)]
    edges = [f"hook>n{index}" for index in range(100)]
    job = harness.delivery(await harness.publish([HOOK, *nodes], *edges), "x" * 1_000_000)
    state = await harness.execute(job)
    assert state.error is not None
    assert (state.status, state.error["code"]) == ("failed", "limit")
    assert (await harness.verify(job))["first_difference"] is None
