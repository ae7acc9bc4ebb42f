"""Signals are held against schemas in turns, between which others are at work."""

from __future__ import annotations

import asyncio

from shared.domain.execution.fold import apply
from shared.engine.run.recorder import match_signals
from tests.unit.domain.execution.test_signals import AT, after, sent, waits

NODES = 5


async def test_others_work_between_the_looks_of_waiting_nodes() -> None:
    """A signal that nobody has given to a node, and nodes that wait for it, each with thousands of allowed values."""
    state = after(*(waits(f"w{number}", {"enum": list(range(30_000))}, 0) for number in range(NODES)))
    apply(state, sent("x"), AT)
    judging, turns = asyncio.create_task(match_signals(state.signals)), 0
    while not judging.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= NODES // 2
    assert state.signals.newly_due() == []


async def test_small_ones_are_looked_at_in_one_go() -> None:
    """And a run whose facts leave nothing open waits for nobody."""
    state = after(*(waits(f"w{number}", {"enum": ["a"]}, 0) for number in range(100)))
    assert not state.signals.check_some()
    apply(state, sent("b"), AT)
    assert not state.signals.check_some()
    assert not state.signals.is_any_due
