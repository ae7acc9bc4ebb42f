"""What expressions see of a value does not depend on whether it has just arrived or was read back from the store."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest

from shared.domain.json.values import storable
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request, transform
from tests.integration.engine.sink import Sink

# Neither jsonb's order of keys nor its form of numbers, and two characters that it refuses.
VALUE = '{"zz":{"b":1.0,"a":-0.0},"b":1e22,"aaa":[1e-7,12345678901234567890,{"y":1,"x":2}],"ü":"\\u0000 \\ud800"}'
EXPRESSIONS = {
    "keys": "{% $keys($trigger.body) %}",
    "each": "{% $each($trigger.body, function($v, $k) { $k }) %}",
    "spread": "{% $spread($trigger.body) %}",
    "string": "{% $string($trigger.body) %}",
    "wildcard": "{% $trigger.body.aaa.* %}",
    "deep wildcard": "{% $trigger.body.** %}",
    "merge": "{% $keys($merge([$trigger.body, {'a': 1}])) %}",
    "sift": "{% $sift($trigger.body, function($v, $k) { $k != 'b' }) %}",
    "object in a text": "got {% $trigger.body %}!",
    "number in a text": "{% $trigger.body.b %} {% $trigger.body.aaa[0] %} {% $trigger.body.zz.a %}",
    "sort": "{% $sort($keys($trigger.body)) %}",
    "string of a part": "{% $string($trigger.body.zz) & $string($trigger.body.aaa) %}",
}


def order(value: Any) -> list[Any]:
    """The names within a value in their order: expressions know numbers as doubles, and no lone surrogates."""
    if isinstance(value, dict):
        return [[name, order(item)] for name, item in value.items()]
    return [order(item) for item in value] if isinstance(value, list) else []


async def test_expressions_see_the_same_before_and_after_a_wait(harness: EngineHarness) -> None:
    """A dozen expressions are evaluated when the value has just come, and again by a drain that has read it."""
    nodes, edges = [HOOK, delay("pause", seconds=3600)], ["hook>pause"]
    for index, text in enumerate(EXPRESSIONS.values()):
        nodes += [transform(f"early{index}", text), transform(f"late{index}", text)]
        edges += [f"hook>early{index}", f"pause>late{index}"]
    job = harness.delivery(await harness.publish(nodes, *edges), json.loads(VALUE))
    waiting = await harness.execute(job)
    assert waiting.status == "waiting"
    assert json.dumps(waiting.trigger["body"]) == json.dumps(storable(json.loads(VALUE)))
    state = await harness.execute_later(job, 3600)
    assert (state.status, (await harness.verify(job))["first_difference"]) == ("succeeded", None)
    for index, name in enumerate(EXPRESSIONS):
        early, late = state.nodes[f"early{index}"], state.nodes[f"late{index}"]
        assert json.dumps(early.output) == json.dumps(late.output), name


@pytest.mark.parametrize("size", [1, 20_000], ids=["small", "large"])
async def test_live_values_are_those_that_are_read(harness: EngineHarness, sink: Sink, size: int) -> None:
    """What the engine has at hand is, to the order of keys and the form of numbers, what the facts say: of effects,
    their answers, signals, called runs, maps and forks alike."""
    value = json.loads(VALUE.replace("1e-7", f'"{"x" * size}"'))
    sink.answer = lambda _request: (200, {"content-type": "application/json"}, VALUE.encode())
    inner = await harness.publish([HOOK, transform("t", "{% $trigger.body %}")], "hook>t")
    body = {"nodes": [transform("one", "{% $string($item) & $string($trigger.body) %}")]}
    nodes = [
        HOOK,
        request("ask", sink.url, parameters={"body": "{% $trigger.body %}"}),
        {"id": "wait", "type": "wait_for_signal", "parameters": {"name": "go"}},
        call("call", inner),
        {"id": "each", "type": "map", "parameters": {"items": "{% $spread($trigger.body) %}", "body": body}},
        transform("all", "{% $string($nodes) %}"),
    ]
    edges = ("hook>ask", "ask>wait", "wait>call", "call>each", "each>all")
    job = harness.delivery(await harness.publish(nodes, *edges), value)
    await harness.execute(job)
    await harness.signal(job, "go", {"body": value})
    await harness.execute(job)
    await harness.drain()
    state = await harness.state(job)
    assert (state.status, (await harness.verify(job))["first_difference"]) == ("succeeded", None)
    assert json.dumps(state.nodes["wait"].output) == json.dumps({"body": value})
    assert order(state.nodes["call"].output) == order(value)
    assert json.dumps(state.nodes["ask"].output["body"]) == json.dumps(storable(json.loads(VALUE)))
    sent: Any = json.loads(sink.received[0].body)
    assert order(sent) == order(value)


async def test_a_failure_is_derived_at_the_moment_that_its_expressions_saw(harness: EngineHarness) -> None:
    """By a clock that goes on whenever somebody looks, what fails at one moment would not at the next."""
    chance = random.Random(7)
    ticks = itertools.accumulate(chance.randint(1, 5) for _ in itertools.count())
    retry = [{"errors": ["expression"], "max_attempts": 2, "initial_interval_seconds": 0.001}]
    odd = "{% $millis() % 2 = 0 ? $error('even') : 1 %}"
    nodes = [transform(f"n{number}", odd, on_error="continue", retry=retry) for number in range(40)]
    job = harness.delivery(await harness.publish([HOOK, *nodes], *(f"hook>n{number}" for number in range(40))))
    await harness.new_engine(clock=lambda: 1_800_000_000 + next(ticks) / 1000).execute(job)
    kinds = {event.event_type for event in await harness.events(job)}
    assert {"NodeFailed", "NodeRetryScheduled", "NodeSucceeded"} <= kinds
    assert (await harness.verify(job))["first_difference"] is None
