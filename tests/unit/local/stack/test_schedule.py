"""When schedules are due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local.stack.intrinsics import TemplateError
from local.stack.schedule import next_time

# A Wednesday.
NOW = datetime(2026, 11, 25, 10, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("rate(1 minute)", "2026-11-25T10:18:30"),
        ("rate(2 hours)", "2026-11-25T12:17:30"),
        ("cron(0/15 * * * ? *)", "2026-11-25T10:30:00"),
        ("cron(0 12 * * ? *)", "2026-11-25T12:00:00"),
        ("cron(0 8 ? * 2 *)", "2026-11-30T08:00:00"),
        ("cron(0 8 ? * MON-FRI *)", "2026-11-26T08:00:00"),
    ],
)
def test_next_time_follows_the_expression(expression: str, due: str) -> None:
    """Rates count from now; crons are AWS's, with weekday 1 a Sunday."""
    assert next_time(expression, NOW) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize("expression", ["rate(0 minutes)", "every minute", "cron(* * * * *)"])
def test_unknown_expressions_are_refused(expression: str) -> None:
    """Rather than never fired."""
    with pytest.raises(TemplateError, match="does not know the schedule"):
        next_time(expression, NOW)
