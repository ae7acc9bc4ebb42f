"""When a cron schedule is due: five fields, in a time zone, right across changes of the clock.

The fields are those of crontab(5), as Debian's cron reads them: a fixed time that a change of the clock skips is due
right after the change, one that it repeats is due once; `*` and steps go by the time that really passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from shared.domain.timestamps import timestamp, unix_seconds

# Missed ticks are counted up to here; a minute's schedule misses so many in a day.
MOST_COUNTED = 1_440


class ScheduleError(ValueError):
    """A cron expression or a time zone that makes no sense; its text says which and why."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """What is due of a schedule: the `latest` tick, how many `missed` ones lie before it, and the one that is `next`.

    Times are timestamps; `next` is `None` for a schedule that never comes again, such as 30 February.
    """

    latest: str
    missed: int
    next: str | None


def check_cron(cron: str) -> str:
    """The expression itself when it is one; else `ScheduleError`."""
    next_tick(cron, "UTC", 0)
    return cron


def check_timezone(name: str) -> str:
    """The time zone's name itself when there is one; else `ScheduleError`."""
    _zone(name)
    return name


def next_tick(cron: str, timezone: str, after: float) -> str | None:
    """The first tick after a Unix time, as a timestamp; `None` when there is none within fifty years."""
    tick = next(_ticks(cron, timezone, after), None)
    return None if tick is None else _stamp(tick)


def ticks_until(cron: str, timezone: str, due_at: str, now: float) -> Ticks:
    """What is due at the Unix time `now` of a schedule whose tick at `due_at` has not been taken.

    A schedule whose ticks were missed, because nothing ran, is due once for all of them.
    """
    due = unix_seconds(due_at)
    # Backwards from a moment that is no tick itself, for that one would be left out.
    backwards = islice(_ticks(cron, timezone, now + 1, reverse=True), MOST_COUNTED + 1)
    passed = [tick for tick in (moment.timestamp() for moment in backwards) if due <= tick <= now]
    latest = max(passed, default=due)
    return Ticks(timestamp(latest), max(0, len(passed) - 1), next_tick(cron, timezone, max(latest, now)))


def _ticks(cron: str, timezone: str, start: float, *, reverse: bool = False) -> CronSim:
    if len(cron.split()) != 5:
        raise ScheduleError("a schedule has five fields: minute, hour, day of month, month, day of week")
    try:
        return CronSim(cron, datetime.fromtimestamp(start, _zone(timezone)), reverse=reverse)
    except CronSimError as error:
        raise ScheduleError(f"{str(error)[:1].lower()}{str(error)[1:]} in the schedule {cron!r}") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(f"there is no time zone {name!r}; name one like Europe/Berlin") from None


def _stamp(moment: datetime) -> str:
    return timestamp(moment.astimezone(UTC).timestamp())
