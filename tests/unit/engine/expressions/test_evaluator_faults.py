"""The guard of expressions against single requests that cannot be sent, taken in, answered or read."""

from __future__ import annotations

import asyncio
import mmap
import sys
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.expressions.templates import compile_template, reads
from shared.domain.json.values import MAX_DEPTH
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.expressions.evaluator_main import MAX_ANSWER_DEPTH, PROGRESS, Evaluator
from shared.engine.expressions.evaluator_process import EvaluationError
from shared.engine.expressions.request_queue import RequestQueue
from shared.engine.expressions.requests import EvaluatedTemplate, Filled, Level, Request, RunData, Waiting
from shared.errors import UnavailableError
from shared.json_types import JsonObject
from shared.platform.runtime import run


@pytest.fixture
async def guard() -> AsyncIterator[ExpressionEvaluator]:
    """A guard with a warm child."""
    guard = ExpressionEvaluator()
    await guard.start()
    yield guard
    await guard.close()


def template(text: str, generation: int = -1) -> EvaluatedTemplate:
    """A node's parameters `{value}`."""
    parameters = {"value": text}
    return EvaluatedTemplate(parameters, reads(compile_template(parameters)), generation=generation)


def reading(outputs: JsonObject, wanted: EvaluatedTemplate, data: RunData | None = None) -> Request:
    """A request of a run whose nodes have these outputs; its template reads all of them."""
    nodes = list(outputs)
    level = Level(data or RunData(), [], nodes, lambda _name: None, outputs.__getitem__, nodes)
    return Request(wanted, level, [], 1_800_000_000_000, 1)


def nested(depth: int) -> Any:
    """Lists in one another."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture(scope="module")
def shared_guard() -> Any:
    """A guard for all examples of a property."""
    guard = ExpressionEvaluator()
    yield guard
    run(guard.close())


@given(st.lists(st.sampled_from([0, 1, 90, 199, 400, 900, 1_100, 5_000, 50_000]), max_size=5))
@settings(max_examples=12, deadline=None)
def test_no_depth_of_any_number_of_outputs_stops_another_run(
    shared_guard: ExpressionEvaluator, depths: list[int]
) -> None:
    """Requests that read outputs of any depth end, and those beside and behind them are answered."""

    async def together() -> list[Filled | BaseException]:
        outputs = {f"n{index}": nested(depth) for index, depth in enumerate(depths)}
        greedy = reading(outputs, template("{% $count($keys($nodes)) %}"))
        innocent = [reading({"a": {"x": 1}}, template("{% $nodes.a.x %}")) for _ in range(2)]
        requests = [innocent[0], greedy, innocent[1]]
        return await asyncio.gather(*map(shared_guard.fill, requests), return_exceptions=True)

    first, greedy, last = run(asyncio.wait_for(together(), 20))
    assert isinstance(first, Filled)
    assert isinstance(last, Filled)
    assert first.parameters == last.parameters == {"value": 1}
    if max(depths, default=0) <= 2 * MAX_DEPTH:
        assert isinstance(greedy, Filled)
    else:
        assert isinstance(greedy, Filled) or (isinstance(greedy, EvaluationError) and greedy.code == "limit")


async def test_what_went_with_a_refused_request_is_sent_again(guard: ExpressionEvaluator) -> None:
    """One template of a run reads an output that cannot be sent: the run's other data is not thought to be there."""
    data, wanted = RunData(), template("{% $nodes.a.x %}")
    outputs = {"a": {"x": 1}, "b": nested(100_000)}
    with pytest.raises(EvaluationError) as error:
        await guard.fill(reading(outputs, wanted, data))
    assert error.value.code == "limit"
    filled = await guard.fill(reading({"a": {"x": 1}}, wanted, data))
    assert filled.parameters == {"value": 1}


@pytest.mark.parametrize("value", [object(), {"x": {1, 2}}, {("a",): 1}], ids=["object", "set", "key"])
async def test_value_that_is_no_json_fails_its_request_alone(guard: ExpressionEvaluator, value: Any) -> None:
    """Whatever else is wrong with what a request reads concerns no other."""
    with pytest.raises(EvaluationError):
        await asyncio.wait_for(guard.fill(reading({"a": value}, template("{% $nodes.a %}"))), 10)
    assert (await guard.fill(reading({"a": 1}, template("{% $nodes.a %}")))).parameters == {"value": 1}


async def test_child_that_lacks_something_is_given_it(guard: ExpressionEvaluator) -> None:
    """The guard believes that its child has a template: the child says that it was lost, and is given it."""
    mistaken = template("{% $nodes.a %}", generation=1)
    assert (await guard.fill(reading({"a": 1}, mistaken))).parameters == {"value": 1}


async def test_parameters_that_are_too_deep_are_refused(guard: ExpressionEvaluator) -> None:
    """An expression that builds a deep value fails; its depth is bounded, as its size is."""
    levels = "{{% ($f := function($n, $v) {{ $n = 0 ? $v : $f($n - 1, {{'a': $v}}) }}; $f({}, 1)) %}}"
    deepest = MAX_ANSWER_DEPTH - 1  # the parameters are an object around it
    assert isinstance(await guard.fill(reading({}, template(levels.format(deepest)))), Filled)
    with pytest.raises(EvaluationError) as error:
        await guard.fill(reading({}, template(levels.format(deepest + 1))))
    assert error.value.code == "limit"


def test_child_answers_every_frame() -> None:
    """A frame that is no JSON, that is too deep, or that lacks something is answered, and nothing of it is kept."""
    with mmap.mmap(-1, PROGRESS.size) as progress:
        evaluator = Evaluator(progress)
        for frame in (b"{", b"\xff", b"[" * 100_000, b"7", b'{"r": 1, "input": [], "t": 5}'):
            assert evaluator.answer(1, frame).startswith(b'{"lost":')


async def test_answer_that_cannot_be_read_fails_its_request(guard: ExpressionEvaluator) -> None:
    """It is an error of that request, and not of the socket that all others are answered through."""
    lane, loop = RequestQueue(guard), asyncio.get_running_loop()
    unreadable, readable = (Waiting(reading({}, template("{% 2 %}")), loop.create_future(), 0.0) for _ in range(2))
    lane.add(1, unreadable)
    lane.on_answer(1, b"[" * 100_000)
    lane.add(2, readable)
    with pytest.raises(EvaluationError):
        await unreadable.future
    assert (await readable.future).parameters == {"value": 2}
    await lane.close()


async def test_request_that_is_not_answered_fails_in_time() -> None:
    """Whatever holds the child, nobody waits for ever."""
    guard = ExpressionEvaluator(longest_seconds=0.5)
    await guard.start()
    (child,) = [process for process in psutil.Process().children() if _is_evaluator(process)][-1:]
    child.suspend()
    with pytest.raises(EvaluationError) as error:
        await asyncio.wait_for(guard.fill(reading({}, template("{% 1 %}"))), 8)
    assert error.value.code == "timeout"
    child.resume()
    assert (await guard.fill(reading({}, template("{% 2 %}")))).parameters == {"value": 2}
    await guard.close()


async def test_memory_that_others_fill_fails_nobody() -> None:
    """Runs leave more data with the child than it may hold: it is replaced, and what it was at is answered."""
    guard = ExpressionEvaluator(max_resident_bytes=150 * 1024 * 1024)
    large = [reading({"a": "x" * 8_000_000}, template("{% $length($nodes.a) > 0 %}")) for _ in range(15)]
    # At work for long enough to be what the child is at when it is looked at.
    slow = template("{% ($s := $pad('', 1000000, 'ab'); [1..40].$length($replace($s, 'a', 'c')); $nodes.a) %}")
    *others, last = await asyncio.gather(*map(guard.fill, [*large, reading({"a": 1}, slow)]))
    assert [filled.parameters for filled in others] == [{"value": True}] * len(large)
    assert last.parameters == {"value": 1}
    await guard.close()


@pytest.mark.parametrize("python", [None, "/no/python"], ids=["unthought_of", "missing"])
async def test_child_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch, python: str | None) -> None:
    """Whatever keeps it from starting, those who wait are told to come back, and who comes next is answered."""
    guard = ExpressionEvaluator(longest_seconds=2.0)
    with monkeypatch.context() as without:
        without.setattr(sys, "executable", python)
        for _ in range(2):
            waiting = [guard.fill(reading({}, template("{% 1 %}"))) for _ in range(2)]
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 2
    assert (await guard.fill(reading({}, template("{% 2 %}")))).parameters == {"value": 2}
    await guard.close()


async def test_start_that_one_gives_up_is_no_others() -> None:
    """Who waits for the child to be started and is cancelled does not stop it for those who have something for it."""
    guard = ExpressionEvaluator(longest_seconds=5.0)
    starting = asyncio.create_task(guard.start())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(guard.fill(reading({}, template("{% 1 %}"))))
    await asyncio.sleep(0)
    starting.cancel()
    assert (await waiting).parameters == {"value": 1}
    await guard.close()


def _is_evaluator(process: psutil.Process) -> bool:
    return process.status() != psutil.STATUS_ZOMBIE and "evaluator_main" in " ".join(process.cmdline())
