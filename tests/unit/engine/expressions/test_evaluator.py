"""The guard of expressions: a real child process that is slow, greedy, or killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from shared.domain.expressions.templates import compile_template, reads
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.expressions.evaluator_process import EvaluationError
from shared.engine.expressions.requests import EvaluatedTemplate, Filled, Level, Request, RunData

# Few steps, each of them long: the library stops it by its time.
SLOW = "{% ($s := $pad('', 1000000, 'ab'); [1..9000].$length($replace($s, 'a', 'c'))) %}"
ENDLESS = "{% ($f := function($x) { $f($x + 1) }; $f(1)) %}"


@pytest.fixture
async def guard() -> AsyncIterator[ExpressionEvaluator]:
    """A guard with a warm child."""
    guard = ExpressionEvaluator()
    await guard.start()
    yield guard
    await guard.close()


def template(value: Any) -> EvaluatedTemplate:
    """A node's parameters `{value}`."""
    parameters = {"value": value}
    return EvaluatedTemplate(parameters, reads(compile_template(parameters)))


def request(wanted: EvaluatedTemplate, trigger: Any = None, run: RunData | None = None, seed: int = 1) -> Request:
    """One template over a trigger."""
    names = [name for name in ("trigger",) if name in wanted.reads]
    run = run or RunData()
    level = Level(run, names, [], lambda _name: trigger, lambda _node: None)
    return Request(wanted, level, [], 1_800_000_000_000, seed)


async def value(guard: ExpressionEvaluator, text: str, trigger: Any = None) -> Any:
    """What an expression yields."""
    return (await guard.fill(request(template(text), trigger))).parameters.get("value", "nothing")


def child() -> psutil.Process:
    """The guard's child process; one that an earlier test has killed may not be reaped yet."""
    alive = [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]
    return next(process for process in alive if "evaluator_main" in " ".join(process.cmdline()))


async def test_values_keep_their_types(guard: ExpressionEvaluator) -> None:
    """Numbers, lists, null and nothing are four different things on the other side of the process."""
    trigger = {"n": 1.5, "list": [1], "none": None}
    texts = (
        "{% $trigger.n %}",
        "{% $trigger.list %}",
        "{% $trigger.none %}",
        "{% $trigger.lost %}",
        "n={% $trigger.n %}",
    )
    assert [await value(guard, text, trigger) for text in texts] == [1.5, [1], None, "nothing", "n=1.5"]


async def test_run_data_is_sent_once(guard: ExpressionEvaluator) -> None:
    """The second node of a run finds the trigger in the child: nobody is asked for it again."""
    asked: list[str] = []
    run = RunData()
    for text in ("{% $trigger.a %}", "{% $trigger.b %}"):
        wanted = request(template(text), run=run)
        wanted.level.scope = lambda name: asked.append(name) or {"a": 1, "b": 2}
        await guard.fill(wanted)
    assert asked == ["trigger"]


async def test_whole_context_is_what_the_template_names(guard: ExpressionEvaluator) -> None:
    """A version that was published before `$$` was refused sees the same whatever the child has been given before."""
    run = RunData()
    alone = (await guard.fill(request(template("{% $$ %}"), {"a": 1}))).parameters
    await guard.fill(request(template("{% $trigger.a %}"), {"a": 1}, run))
    after = (await guard.fill(request(template("{% $$ %}"), {"a": 1}, run))).parameters
    assert alone == after == {"value": {"nodes": {}}}
    named = (await guard.fill(request(template(["{% $$ %}", "{% $trigger.a %}"]), {"a": 1}, run))).parameters
    assert named == {"value": [{"nodes": {}, "trigger": {"a": 1}}, 1]}
    keys = [template(["{% $keys($$) %}", "{% $execution.id %}", "{% $trigger.a %}"]) for _ in range(2)]
    assert [(await guard.fill(request(wanted, {"a": 1}))).parameters["value"][0] for wanted in keys] == [
        ["nodes", "trigger"]
    ] * 2


async def test_endless_expression_ends_alone(guard: ExpressionEvaluator) -> None:
    """An expression that never ends fails by its steps or its time; the one after it is answered."""
    started = time.monotonic()
    with pytest.raises(EvaluationError) as error:
        await value(guard, ENDLESS)
    assert error.value.code in ("D1012", "U1006")
    assert time.monotonic() - started < 3
    assert await value(guard, "{% 1 + 1 %}") == 2


async def test_slow_expression_times_out(guard: ExpressionEvaluator) -> None:
    """An expression may take a second."""
    started = time.monotonic()
    with pytest.raises(EvaluationError) as error:
        await value(guard, SLOW)
    assert error.value.code == "D1012"
    assert 0.9 < time.monotonic() - started < 3


@pytest.mark.parametrize(
    "expression",
    ["[1..20000]", "$pad('', 2000000)", "($f := function($n) { 1 + $f($n + 1) }; $f(1))"],
    ids=["items", "text", "depth"],
)
async def test_limits_hold(guard: ExpressionEvaluator, expression: str) -> None:
    """Lists, texts and depth are bounded, and the child survives the attempt."""
    pid = child().pid
    with pytest.raises(EvaluationError):
        await value(guard, "{% " + expression + " %}")
    assert await value(guard, "{% 1 %}") == 1
    assert child().pid == pid


async def test_large_parameters_are_refused(guard: ExpressionEvaluator) -> None:
    """A node's parameters are bounded as a whole."""
    with pytest.raises(EvaluationError) as error:
        await guard.fill(request(template(["{% $trigger %}"] * 9), "x" * 200_000))
    assert error.value.code == "limit"


async def test_killed_child_is_replaced_and_nobody_fails(guard: ExpressionEvaluator) -> None:
    """The child dies under thirty evaluations: all are answered by its successor, with their run's data."""
    run, wanted = RunData(), template("{% $trigger.n %}")
    await guard.fill(request(wanted, {"n": 0}, run))
    waiting = [asyncio.create_task(guard.fill(request(wanted, {"n": 0}, run))) for _ in range(30)]
    await asyncio.sleep(0)
    child().kill()
    assert [filled.parameters for filled in await asyncio.gather(*waiting)] == [{"value": 0}] * 30


async def test_stopped_child_is_killed_and_only_the_guilty_fails(guard: ExpressionEvaluator) -> None:
    """An evaluation that holds the child against its limits is found by its progress; those behind it are answered."""
    await guard.fill(request(template("{% 0 %}")))
    busy = child().cpu_times().user + 0.03  # more than the first one needs: then it is at the slow one
    waiting = [asyncio.create_task(guard.fill(request(template(text)))) for text in ("{% 1 %}", SLOW, "{% 2 %}")]
    while child().cpu_times().user < busy:  # noqa: ASYNC110  # another process, which tells nobody
        await asyncio.sleep(0)
    child().suspend()
    first, guilty, last = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, Filled)
    assert isinstance(guilty, EvaluationError)
    assert guilty.code == "timeout"
    assert isinstance(last, Filled)


async def test_same_seed_and_clock_give_the_same_answer(guard: ExpressionEvaluator) -> None:
    """Randomness and time come from outside, so that a run can be derived again."""
    wanted = template("{% [$random(), $millis(), $now()] %}")
    first, again, other = [await guard.fill(request(wanted, seed=seed)) for seed in (7, 7, 8)]
    assert first == again
    assert first != other
    assert first.parameters["value"][1] == 1_800_000_000_000


@pytest.mark.parametrize("text", ["{% $string($$) %}", "{% $count(**) %}", "{% $keys() %}"])
async def test_scope_as_a_whole_is_the_same_whatever_the_child_has(guard: ExpressionEvaluator, text: str) -> None:
    """A version that was published while such expressions were allowed: it sees nothing that it does not name."""
    run, trigger = RunData(), {"n": 1}
    before = await guard.fill(request(template(text), trigger, run))
    await guard.fill(request(template("{% $trigger.n %}"), trigger, run))
    assert await guard.fill(request(template(text), trigger, run)) == before
