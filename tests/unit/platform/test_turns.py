"""Long computations, one after the other."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from shared.platform.turns import LARGE_BYTES, ComputeTurns


def busy(seconds: float) -> float:
    """How long it took, all of it on the loop."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        pass
    return time.monotonic() - began


async def test_small_ones_wait_for_nobody() -> None:
    """However many large ones do."""
    turns, order = ComputeTurns(), list[str]()
    large = [asyncio.create_task(turns.take("a", lambda: order.append("large"), LARGE_BYTES)) for _ in range(3)]
    await turns.take("a", lambda: order.append("small"), LARGE_BYTES - 1)
    await asyncio.gather(*large)
    assert order == ["small", "large", "large", "large"]


async def test_the_loop_is_everybodys_for_as_long_as_each_took() -> None:
    """Between two of them, what is short gets its turns again and again."""
    turns, between = ComputeTurns(), list[int]()
    large = [
        asyncio.create_task(turns.take("a", lambda: between.append(0) or busy(0.05), LARGE_BYTES)) for _ in range(4)
    ]  # type: ignore[func-returns-value]
    while not all(task.done() for task in large):
        await asyncio.sleep(0.001)
        if between:
            between[-1] += 1
    assert min(between[:-1]) >= 5


async def test_who_has_begun_goes_first() -> None:
    """What was read is done with before more is read; of the same kind, who came first goes first."""
    turns, order = ComputeTurns(), list[str]()

    def take(name: str, *, is_beginning: bool) -> asyncio.Task[None]:
        return asyncio.create_task(turns.take("a", lambda: order.append(name), LARGE_BYTES, is_beginning=is_beginning))

    await asyncio.gather(
        take("first", is_beginning=True),
        take("later", is_beginning=True),
        take("last", is_beginning=True),
        take("begun", is_beginning=False),
        take("begun, too", is_beginning=False),
    )
    assert order == ["first", "begun", "begun, too", "later", "last"]


async def test_tenants_take_turns() -> None:
    """However many one of them has waiting, begun ones too: of two, each has every other turn."""
    turns, order = ComputeTurns(), list[str]()

    def take(tenant_id: str, *, is_beginning: bool) -> asyncio.Task[None]:
        compute = partial(order.append, tenant_id)
        return asyncio.create_task(turns.take(tenant_id, compute, LARGE_BYTES, is_beginning=is_beginning))

    await asyncio.gather(
        *(take("many", is_beginning=False) for _ in range(6)), *(take("few", is_beginning=True) for _ in range(2))
    )
    assert order == ["many", "many", "few", "many", "few", "many", "many", "many"]


async def test_a_turn_ends_whatever_comes_of_it() -> None:
    """One that fails is followed by the next."""
    turns = ComputeTurns()

    def fail() -> None:
        raise ValueError("no JSON")

    with pytest.raises(ValueError, match="no JSON"):
        await turns.take("a", fail, LARGE_BYTES)
    async with asyncio.timeout(5):
        assert await turns.take("a", lambda: 7, LARGE_BYTES) == 7


async def test_a_turn_that_nobody_waits_for_any_more_is_the_next_ones() -> None:
    """Whether it is given up long before it comes or in that very moment."""
    for delay in range(40):
        turns = ComputeTurns()
        first, given_up = (asyncio.create_task(turns.take("a", lambda: busy(0.001), LARGE_BYTES)) for _ in range(2))
        await first
        asyncio.get_running_loop().call_later(0.0005 + delay * 0.00002, given_up.cancel)
        async with asyncio.timeout(5):
            assert await turns.take("a", lambda: 7, LARGE_BYTES) == 7
        await asyncio.wait([given_up])
