"""When and whether a failed attempt is made again."""

from __future__ import annotations

import pytest

from shared.domain.retry_policy import Retrier, delay_seconds, parse_retrier

HTTP = Retrier(("http_5xx",), max_attempts=4, initial_interval_seconds=1, backoff_rate=2, max_interval_seconds=3)


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1.0), (2, 2.0), (3, 3.0)])
def test_delay_grows_to_its_cap_with_full_jitter(attempt: int, longest: float) -> None:
    """The draw spreads the delay from nothing to the backoff, which doubles up to the cap."""
    assert delay_seconds([HTTP], "http_5xx", attempt, 0.0) == 0.0
    assert delay_seconds([HTTP], "http_5xx", attempt, 0.5) == longest / 2


def test_last_attempt_is_the_last() -> None:
    """`max_attempts` counts the first one too."""
    assert delay_seconds([HTTP], "http_5xx", 4, 0.5) is None


def test_other_classes_fail_at_once() -> None:
    """A class that no retrier names is not repeated."""
    assert delay_seconds([HTTP], "http_4xx", 1, 0.5) is None
    assert delay_seconds([], "timeout", 1, 0.5) is None


def test_first_retrier_that_fits_decides() -> None:
    """Retriers are tried in order, and `all` fits everything."""
    never, always = Retrier(("http_5xx",), max_attempts=1), Retrier(("all",), max_attempts=9)
    assert delay_seconds([never, always], "http_5xx", 1, 0.5) is None
    assert delay_seconds([never, always], "network", 1, 0.5) == 0.5


def test_server_asks_for_patience() -> None:
    """`Retry-After` is a lower bound, within reason."""
    assert delay_seconds([HTTP], "http_5xx", 1, 0.9, 30.0) == 30.0
    assert delay_seconds([HTTP], "http_5xx", 1, 0.9, 1e9) == 86_400.0


def test_unknown_key_is_a_problem() -> None:
    """A retrier's keys are checked."""
    _, problems = parse_retrier({"errors": [], "attempts": 3}, "/r")
    assert [problem.pointer for problem in problems] == ["/r/errors", "/r/attempts"]
