"""When a schedule is due."""

from __future__ import annotations

import pytest

from shared.domain.timestamps import unix_seconds
from shared.domain.workflow.schedule import ScheduleError, check_cron, check_timezone, next_tick, ticks_until

BERLIN = "Europe/Berlin"


def following(cron: str, timezone: str, after: str, count: int) -> list[str]:
    """The next ticks, to the minute."""
    found: list[str] = []
    moment = unix_seconds(after)
    for _ in range(count):
        tick = next_tick(cron, timezone, moment)
        assert tick is not None
        found.append(tick[:16])
        moment = unix_seconds(tick)
    return found


def test_ticks_follow_the_time_zone_s_own_clock() -> None:
    """Nine in Berlin is eight in UTC in winter, and seven in summer."""
    assert following("0 9 * * *", BERLIN, "2026-01-10T12:00:00Z", 1) == ["2026-01-11T08:00"]
    assert following("0 9 * * *", BERLIN, "2026-07-10T12:00:00Z", 1) == ["2026-07-11T07:00"]


def test_time_that_the_spring_skips_is_due_right_after_it() -> None:
    """Half past two does not exist on 29 March 2026 in Berlin: the tick comes at three, once."""
    ticks = following("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", 2)
    assert ticks == ["2026-03-29T01:00", "2026-03-30T00:30"]


def test_time_that_the_autumn_repeats_is_due_once() -> None:
    """Half past two comes twice on 25 October 2026 in Berlin, its tick once."""
    ticks = following("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2)
    assert ticks == ["2026-10-25T00:30", "2026-10-26T01:30"]


def test_steps_go_by_the_time_that_passes() -> None:
    """Every half hour stays every half hour while the clock is put back."""
    ticks = following("*/30 * * * *", BERLIN, "2026-10-24T23:40:00Z", 4)
    assert ticks == ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"]


def test_tick_at_its_very_moment_is_due() -> None:
    """Nothing was missed, and the next tick is the one after."""
    ticks = ticks_until("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z", unix_seconds("2026-01-01T00:05:00Z"))
    assert (ticks.latest[:16], ticks.missed, (ticks.next or "")[:16]) == ("2026-01-01T00:05", 0, "2026-01-01T00:10")


def test_tick_that_is_about_to_come_is_not_due() -> None:
    """Half a second early is early."""
    ticks = ticks_until("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z", unix_seconds("2026-01-01T00:09:59.5Z"))
    assert (ticks.latest[:16], ticks.missed) == ("2026-01-01T00:05", 0)


def test_missed_ticks_are_made_up_for_by_the_latest() -> None:
    """After an hour without a drain one tick is due, and says that eleven others were missed."""
    ticks = ticks_until("*/5 * * * *", "UTC", "2026-01-01T00:05:00Z", unix_seconds("2026-01-01T01:02:00Z"))
    assert (ticks.latest[:16], ticks.missed, (ticks.next or "")[:16]) == ("2026-01-01T01:00", 11, "2026-01-01T01:05")


def test_years_of_missed_ticks_are_not_all_counted() -> None:
    """Nobody waits for a count to millions."""
    ticks = ticks_until("* * * * *", "UTC", "2020-01-01T00:00:00Z", unix_seconds("2026-01-01T00:00:30Z"))
    assert (ticks.latest[:16], ticks.missed) == ("2026-01-01T00:00", 1_440)


def test_schedule_that_never_comes_has_no_tick() -> None:
    """A last Monday that is a first or twenty-first day is none, and it does not take long to see."""
    assert next_tick("* * */20 * 1L", "UTC", 0) is None


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("61 * * * *", "bad minute in the schedule '61 * * * *'"),
        ("* * * *", "a schedule has five fields: minute, hour, day of month, month, day of week"),
        ("0 * * * * *", "a schedule has five fields: minute, hour, day of month, month, day of week"),
        ("@daily", "a schedule has five fields: minute, hour, day of month, month, day of week"),
        ("0 0 * * mo", "bad day-of-week in the schedule '0 0 * * mo'"),
    ],
)
def test_cron_that_makes_no_sense_says_where(cron: str, reason: str) -> None:
    """The field is named."""
    with pytest.raises(ScheduleError, match=reason.replace("*", r"\*")):
        check_cron(cron)


@pytest.mark.parametrize("name", ["Mars/Base", "", "../../etc/passwd", "europe\x00"])
def test_time_zone_that_is_none_is_refused(name: str) -> None:
    """Only the names of the IANA's database are known."""
    with pytest.raises(ScheduleError, match="there is no time zone"):
        check_timezone(name)
