"""How long the work in hand may still wait."""

from __future__ import annotations

import asyncio

from shared.platform.deadline import seconds_left, within


def test_without_a_deadline_a_call_has_its_own() -> None:
    """What it would take where nothing else is said."""
    assert seconds_left(10.0) == 10.0


def test_earlier_deadline_counts() -> None:
    """Whether it is the outer one or the inner one; after the block the outer one counts again."""
    with within(100.0):
        with within(50.0):
            assert 40 < seconds_left(1_000.0) <= 50
        with within(500.0):
            assert 90 < seconds_left(1_000.0) <= 100
        assert 90 < seconds_left(1_000.0) <= 100
        assert seconds_left(3.0) == 3.0
    assert seconds_left(1_000.0) == 1_000.0


def test_time_that_is_up_is_none_and_not_less() -> None:
    """A call then fails at once."""
    with within(-1.0):
        assert seconds_left(10.0) == 0.0


async def test_tasks_have_the_deadline_of_who_began_them_and_no_other() -> None:
    """Requests beside each other do not see each other's."""

    async def left(seconds: float) -> float:
        with within(seconds):
            await asyncio.sleep(0)
            return seconds_left(1_000.0)

    short, long = await asyncio.gather(left(10.0), left(100.0))
    assert short <= 10 < long <= 100
    assert seconds_left(1_000.0) == 1_000.0
