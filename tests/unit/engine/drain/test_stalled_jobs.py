"""How long jobs are put off whose drains have died."""

from __future__ import annotations

from shared.engine.drain.stalled_jobs import MAX_PAUSE_SECONDS, stall_backoff
from shared.queue.consumer import MAX_STALLED
from shared.queue.job import STALLED_TOO_OFTEN, ClaimedJob

CLAIMED = ClaimedJob("id", "token", None, None, 0, 1, None)


def test_the_first_death_puts_nothing_off() -> None:
    """Deployments end drains every day."""
    assert [stall_backoff(CLAIMED._replace(stalled=stalled)) for stalled in (0, 1)] == [0, 0]


def test_each_further_death_puts_off_longer_and_apart() -> None:
    """Doubled, at random within half of it, and never more than a minute."""
    for stalled, longest in ((2, 2), (3, 4), (5, 16), (7, MAX_PAUSE_SECONDS), (1000, MAX_PAUSE_SECONDS)):
        pauses = {stall_backoff(CLAIMED._replace(stalled=stalled)) for _ in range(50)}
        assert longest / 2 <= min(pauses) < max(pauses) <= longest


def test_a_job_is_put_off_once_for_each_death() -> None:
    """When it comes back, it runs; one that is given up is failed at once."""
    assert stall_backoff(CLAIMED._replace(stalled=3, put_off_after=3)) == 0
    assert stall_backoff(CLAIMED._replace(stalled=4, put_off_after=3)) > 0
    assert stall_backoff(CLAIMED._replace(stalled=99, deferred_failure=STALLED_TOO_OFTEN)) == 0


def test_a_run_is_given_up_minutes_after_its_first_death_at_the_earliest() -> None:
    """A storm of kills that lasts a minute ends before any run has lost its drain so often."""
    shortest = sum(
        min(stall_backoff(CLAIMED._replace(stalled=n)) for _ in range(50)) for n in range(2, MAX_STALLED + 1)
    )
    assert shortest > 140
