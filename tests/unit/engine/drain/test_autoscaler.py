"""When a drain asks for another one."""

from __future__ import annotations

import pytest

from shared.engine.drain.autoscaler import REST_SECONDS, SETTLE_SECONDS, Sample, ScalingPolicy

CONCURRENCY = 64


def asked(
    growth: ScalingPolicy, seconds: float, since: float = 0.0, per_second: float = 10.0, **fields: float
) -> list[float]:
    """At which of these seconds a drain asked that finishes so many jobs a second."""
    moments = [since + second for second in range(int(seconds))]
    full = Sample(at=0.0, finished=0, unavailable=0, slots_used=1.0, waiting=10_000, live=1)
    looks = [
        full._replace(at=moment, finished=int(moment * per_second), **fields)  # type: ignore[arg-type]
        for moment in moments
    ]
    return [look.at for look in looks if growth.is_due(look)]


def test_a_full_drain_with_a_long_backlog_asks_once_it_has_measured() -> None:
    """And then waits for what comes of it."""
    assert asked(ScalingPolicy(CONCURRENCY), SETTLE_SECONDS) == [2.0]


@pytest.mark.parametrize(
    "fields",
    [
        {"slots_used": 0.5},
        {"waiting": CONCURRENCY},
        {"waiting": 45, "per_second": 10.0},
        {"waiting": 900, "per_second": 200.0},
        {"waiting": 900, "per_second": 50.0, "live": 4},
    ],
)
def test_nobody_is_asked_for_what_one_drain_does_soon(fields: dict[str, float]) -> None:
    """It has places free, or the backlog is gone in some seconds at the rate of all drains."""
    assert asked(ScalingPolicy(CONCURRENCY), 30, **fields) == []


def test_nobody_is_asked_for_while_the_store_is_out_of_reach() -> None:
    """More drains would only ask it more."""
    growth = ScalingPolicy(CONCURRENCY)
    moments = [
        growth.is_due(Sample(float(second), 0, unavailable=second, slots_used=1.0, waiting=10_000, live=1))
        for second in range(30)
    ]
    assert not any(moments)


def test_growth_that_helps_goes_on() -> None:
    """Each drain is as fast as before, so all together are faster."""
    growth, since, steps = ScalingPolicy(CONCURRENCY), 0.0, []
    for live in (1, 2, 3, 4):
        steps += asked(growth, SETTLE_SECONDS, since, live=live)
        since += SETTLE_SECONDS
    assert len(steps) == 4


def test_growth_that_does_not_help_rests() -> None:
    """Two drains do as much as one did: the bottleneck is elsewhere, and is asked about once a minute."""
    growth = ScalingPolicy(CONCURRENCY)
    (first,) = asked(growth, SETTLE_SECONDS, per_second=100.0)
    again = asked(growth, REST_SECONDS, since=SETTLE_SECONDS, per_second=50.0, live=2)
    assert again == [first + REST_SECONDS]


def test_a_drain_that_has_not_come_is_asked_for_again() -> None:
    """Its invocation was lost, or throttled."""
    growth = ScalingPolicy(CONCURRENCY)
    assert asked(growth, 2 * SETTLE_SECONDS + 4) == [2.0, 2.0 + SETTLE_SECONDS, 2.0 + 2 * SETTLE_SECONDS]
