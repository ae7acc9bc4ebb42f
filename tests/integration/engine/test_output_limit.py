"""How much a node may yield."""

from __future__ import annotations

import pytest

from shared.nodes.node_kinds import Completed, NodeError, NodeInputs
from shared.nodes.node_type import MAX_OUTPUT_BYTES
from shared.nodes.registry import node_type
from tests.integration.engine.harness import HOOK, EngineHarness, request
from tests.integration.engine.sink import Sink, as_json


async def test_output_beyond_the_limit_fails_its_node(harness: EngineHarness) -> None:
    """The run's error names the node, its class can be retried or routed, and the run can be derived again."""
    wait = {"id": "w", "type": "wait_for_signal", "parameters": {"name": "go"}}
    job = harness.delivery(await harness.publish([HOOK, wait], "hook>w"))
    await harness.execute(job)
    await harness.signal(job, "go", "x" * MAX_OUTPUT_BYTES)
    state = await harness.execute(job)
    assert state.error is not None
    assert (state.status, state.error["code"], state.error["node_id"]) == ("failed", "limit", "w")
    assert str(MAX_OUTPUT_BYTES) in state.error["message"]
    assert (await harness.verify(job))["first_difference"] is None


def test_output_of_the_very_size_is_taken() -> None:
    """The limit is of the JSON: the quotes count."""
    type_ = node_type("transform")

    def computed(size: int) -> Completed:
        parameters = type_.parse({"value": "x" * size})
        return type_.bounded(parameters, type_.kind.compute(parameters, NodeInputs((), {})))

    assert computed(MAX_OUTPUT_BYTES - 2)
    with pytest.raises(NodeError, match="limit"):
        computed(MAX_OUTPUT_BYTES - 1)


async def test_effects_output_has_the_limit_that_its_parameters_set(harness: EngineHarness, sink: Sink) -> None:
    """An http_request may bring more home than other nodes where it says so."""
    sink.answer = lambda _request: (200, {}, as_json("x" * 2_000_000))
    large = request("large", sink.url, parameters={"max_response_bytes": 2_097_152})
    job = harness.delivery(await harness.publish([HOOK, large], "hook>large"))
    assert len((await harness.execute(job)).output["body"]) == 2_000_000
    small = harness.delivery(await harness.publish([HOOK, request("small", sink.url)], "hook>small"))
    state = await harness.execute(small)
    assert state.error is not None
    assert (state.error["code"], state.error["node_id"]) == ("limit", "small")


async def test_large_delivery_is_there_whole(harness: EngineHarness, sink: Sink) -> None:
    """4 MB of webhook body are no output of a node, and are passed on as they are."""
    body = {"text": "ü" * 2_000_000}
    nodes = [
        HOOK,
        {"id": "ask", "type": "if", "parameters": {"condition": "{% $length($trigger.body.text) = 2000000 %}"}},
        {"id": "all", "type": "merge", "parameters": {"mode": "first"}},
    ]
    job = harness.delivery(await harness.publish(nodes, "hook>ask", "ask.true>all"), body)
    state = await harness.execute(job)
    assert state.status == "succeeded", state.error
    assert state.output["body"] == state.trigger["body"] == body
