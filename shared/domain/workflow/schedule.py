"""When a cron schedule is due: five fields, in a time zone, correct across changes to and from daylight saving time.

The fields are those of crontab(5), as Debian's cron reads them: a fixed time that a change of the clock skips is due
right after the change, one that it repeats is due once; `*` and steps count elapsed time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from shared.domain.timestamps import timestamp, unix_seconds

# Missed ticks are counted up to this: what a schedule of every minute misses in a day.
MOST_COUNTED = 1_440


class ScheduleError(ValueError):
    """A malformed cron expression or an unknown time zone; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """The due ticks of a schedule: the `latest` one, how many `missed` ones lie before it, and the `next` one.

    Times are timestamps; `next` is `None` for a schedule without a further tick, such as 30 February.
    """

    latest: str
    missed: int
    next: str | None


def check_cron(cron: str) -> str:
    """The cron expression itself; a malformed one raises `ScheduleError`."""
    next_tick(cron, "UTC", 0)
    return cron


def check_timezone(name: str) -> str:
    """The time zone's name itself; an unknown one raises `ScheduleError`."""
    _zone(name)
    return name


def next_tick(cron: str, timezone: str, after: float) -> str | None:
    """The first tick after a Unix time, as a timestamp; `None` when there is none within fifty years."""
    tick = next(_ticks(cron, timezone, after), None)
    return None if tick is None else _stamp(tick)


def ticks_until(cron: str, timezone: str, due_at: str, now: float) -> Ticks:
    """The ticks that are due at `now` (Unix seconds), from the tick at `due_at` on, which has not started a run yet.

    Ticks that were missed, because nothing ran, start one run together.
    """
    due = unix_seconds(due_at)
    # Backwards from after `now`: the iterator leaves out the time that it starts from.
    backwards = islice(_ticks(cron, timezone, now + 1, reverse=True), MOST_COUNTED + 1)
    passed = [tick for tick in (moment.timestamp() for moment in backwards) if due <= tick <= now]
    # Without a tick in between, the one that is due is the latest.
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
