"""One tenant's slow expressions beside another's: children that are real, and an order that does not depend on luck."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.engine.expression_child import EvaluationError
from shared.engine.expression_requests import Filled, Request, RunData
from shared.engine.expressions import ExpressionGuard
from tests.unit.engine.test_expressions import SLOW, request, template


@pytest.fixture
async def guard() -> AsyncIterator[ExpressionGuard]:
    """A guard with a warm child."""
    guard = ExpressionGuard()
    await guard.start()
    yield guard
    await guard.close()


def of(tenant_id: str, text: str, run: RunData | None = None) -> Request:
    """A tenant's request over a trigger."""
    return replace(request(template(text), {"n": 1}, run), tenant_id=tenant_id)


async def test_nobody_waits_behind_a_tenants_slow_expressions(guard: ExpressionGuard) -> None:
    """Eight of them would take eight seconds; another tenant's two hundred are answered long before."""
    slow = [asyncio.create_task(guard.fill(of("slow", SLOW))) for _ in range(8)]
    await asyncio.sleep(0.01)  # they are with the child now
    for _ in range(200):
        assert (await guard.fill(of("quick", "{% $trigger.n %}"))).parameters == {"value": 1}
    assert sum(one.done() for one in slow) < 6
    # Those that come later do not hold the others up either.
    slow += [asyncio.create_task(guard.fill(of("slow", SLOW))) for _ in range(8)]
    done = sum(one.done() for one in slow)
    for _ in range(200):
        await guard.fill(of("quick", "{% $trigger.n %}"))
    assert sum(one.done() for one in slow) <= done + 5
    for one in slow:
        one.cancel()


async def test_tenant_that_is_moved_is_answered_as_before(guard: ExpressionGuard) -> None:
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


async def test_single_tenant_is_not_moved(guard: ExpressionGuard) -> None:
    """Where nobody else waits, nobody is held up, and no second process is started."""
    waiting = [asyncio.create_task(guard.fill(of("slow", text))) for text in (SLOW, "{% 1 %}")]
    first, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(first, EvaluationError)
    assert isinstance(second, Filled)
    assert not guard.is_divided
