"""One tenant's slow expressions beside another's: children that are real, and an order that does not depend on luck."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.expressions.evaluator_process import EvaluationError
from shared.engine.expressions.requests import Filled, Request, RunData
from shared.platform.turns import LARGE_BYTES
from tests.unit.engine.expressions.test_evaluator import SLOW, child, request, template


@pytest.fixture
async def guard() -> AsyncIterator[ExpressionEvaluator]:
    """A guard with a warm child."""
    guard = ExpressionEvaluator()
    await guard.start()
    yield guard
    await guard.close()


def of(tenant_id: str, text: str, run: RunData | None = None) -> Request:
    """A tenant's request over a trigger."""
    return replace(request(template(text), {"n": 1}, run), tenant_id=tenant_id)


async def test_nobody_waits_behind_a_tenants_slow_expressions(guard: ExpressionEvaluator) -> None:
    """Eight of them would take eight seconds; another tenant's two hundred are answered long before."""
    slow = [asyncio.create_task(guard.fill(of("slow", SLOW))) for _ in range(8)]
    await asyncio.sleep(0.01)  # they are with the child now
    for _ in range(200):
        assert (await guard.fill(of("quick", "{% $trigger.n %}"))).parameters == {"value": 1}
    assert sum(evaluation.done() for evaluation in slow) < 6
    # Those that come later do not hold the others up either.
    slow += [asyncio.create_task(guard.fill(of("slow", SLOW))) for _ in range(8)]
    done = sum(evaluation.done() for evaluation in slow)
    for _ in range(200):
        await guard.fill(of("quick", "{% $trigger.n %}"))
    assert sum(evaluation.done() for evaluation in slow) <= done + 5
    for evaluation in slow:
        evaluation.cancel()


async def test_tenant_that_is_moved_is_answered_as_before(guard: ExpressionEvaluator) -> None:
    """A run whose requests go from one child to the other finds its data in both."""
    run = RunData()
    assert (await guard.fill(of("slow", "{% $trigger.n %}", run))).parameters == {"value": 1}
    held = [asyncio.create_task(guard.fill(of("slow", text, run))) for text in (SLOW, "{% $trigger.n + 1 %}")]
    await asyncio.sleep(0.01)
    while not held[0].done():
        await guard.fill(of("quick", "{% $trigger.n %}"))
    first, second = await asyncio.gather(*held, return_exceptions=True)
    assert isinstance(first, EvaluationError)
    assert first.code in ("D1012", "timeout")
    assert isinstance(second, Filled)
    assert second.parameters == {"value": 2}
    assert (await guard.fill(of("slow", "{% $trigger.n + 2 %}", run))).parameters == {"value": 3}


async def test_single_tenant_is_not_moved(guard: ExpressionEvaluator) -> None:
    """Where nobody else waits, nobody is held up, and no second process is started."""
    waiting = [asyncio.create_task(guard.fill(of("slow", text))) for text in (SLOW, "{% 1 %}")]
    first, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, EvaluationError)
    assert isinstance(second, Filled)
    assert not guard.is_divided


@pytest.mark.parametrize("is_warm", [True, False])
async def test_large_requests_are_sent_again_one_after_the_other(is_warm: bool) -> None:
    """To a child that has just been started, and to the one after a child that has died with all of them: between any
    two the loop goes round, for each takes a while to be put together."""
    guard, rounds, sent = ExpressionEvaluator(), [0], list[int]()
    if is_warm:
        await guard.start()

    async def go_round() -> None:
        while True:
            await asyncio.sleep(0)
            rounds[0] += 1

    def large(text: str) -> Request:
        small = of("large", text)
        level = replace(small.level, scope=lambda _name: sent.append(rounds[0]) or {"n": 1})
        return replace(small, level=level, size_bytes=LARGE_BYTES)

    going = asyncio.create_task(go_round())
    slow = asyncio.create_task(guard.fill(replace(of("large", SLOW), size_bytes=LARGE_BYTES)))
    waiting = [asyncio.create_task(guard.fill(large("{% $trigger.n %}"))) for _ in range(6)]
    async with asyncio.timeout(20):
        while len(sent) < len(waiting):  # noqa: ASYNC110  # rounds are what is counted
            await asyncio.sleep(0)
    child().kill()
    assert [(await evaluation).parameters for evaluation in waiting] == [{"value": 1}] * len(waiting)
    assert len(sent) == len(set(sent)) > len(waiting)
    going.cancel()
    await asyncio.gather(slow, going, return_exceptions=True)
    await guard.close()
