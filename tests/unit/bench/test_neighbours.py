"""When an attack counts as having reached another tenant."""

from __future__ import annotations

from typing import Any

import pytest

from shared.json_types import JsonObject
from tests.bench.neighbours import Row
from tests.bench.victim import Seen


def seen(p99: float, **fields: Any) -> Seen:
    """What a victim saw whose runs took so long."""
    quiet: JsonObject = {"deliveries": 100, "refused": 0, "not_ended": 0, "answer_p99_ms": 9.0, "ledger_ms": 900.0}
    return Seen(**{**quiet, "run_p50_ms": p99 / 2, "run_p99_ms": p99, **fields})


@pytest.mark.parametrize(
    ("idle", "attacked", "holds"),
    [
        (seen(10), seen(999), True),
        (seen(10), seen(1_001), False),
        (seen(600), seen(1_190), True),
        (seen(600), seen(1_210), False),
        (seen(10), seen(20, answer_p99_ms=2_000), False),
        (seen(10), seen(20, refused=1), False),
        (seen(10), seen(20, not_ended=1), False),
        (seen(10), seen(20, ledger_ms=None), False),
    ],
)
def test_the_bound_is_twice_the_idle_latency_or_a_second(idle: Seen, attacked: Seen, holds: bool) -> None:
    """Whichever is more; and nothing may be refused, left behind, or missing in the delivery log."""
    assert Row("wide map", idle, attacked, "").holds is holds


def test_what_a_dead_drain_held_may_come_back_with_its_locks() -> None:
    """A kill is no tenant's doing; its bound is the time after which locks have expired."""
    assert Row("killed drain", seen(10), seen(34_000), "").holds
    assert not Row("killed drain", seen(10), seen(36_000), "").holds
