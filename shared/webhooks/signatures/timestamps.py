"""Timestamps as senders write them, and their tolerance. Each provider's unit is explicit: a guessed one could let an
old timestamp pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from shared.domain.timestamps import unix_seconds


def _whole(scale: int) -> Callable[[str], float | None]:
    def read(text: str) -> float | None:
        # int() would also take "+1", " 1", "1_000" and digits of other scripts.
        return int(text) / scale if len(text) <= 20 and text.isascii() and text.isdigit() else None

    return read


def _iso8601(text: str) -> float | None:
    try:
        return unix_seconds(text)
    except (ValueError, OverflowError):
        return None


def _http_date(text: str) -> float | None:
    from email.utils import parsedate_to_datetime  # few senders write such dates

    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _as_http_date(now: float) -> str:
    from email.utils import format_datetime

    return format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True)


# Unit → the Unix time in seconds of a timestamp's text, or `None` for one that is none.
UNITS: dict[str, Callable[[str], float | None]] = {
    "s": _whole(1),
    "ms": _whole(1_000),
    "us": _whole(1_000_000),
    "ns": _whole(1_000_000_000),
    "iso8601": _iso8601,
    "http_date": _http_date,
}
# Unit → the text that a sender writes for a Unix time in seconds.
WRITTEN: dict[str, Callable[[float], str]] = {
    "s": lambda now: str(int(now)),
    "ms": lambda now: str(int(now * 1_000)),
    "us": lambda now: str(int(now * 1_000_000)),
    "ns": lambda now: str(int(now * 1_000_000_000)),
    "iso8601": lambda now: datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
    "http_date": _as_http_date,
}


class Tolerance(Protocol):
    """How a provider writes the time, and how far from now it may be."""

    @property
    def unit(self) -> str:
        """One of `UNITS`, or `opaque`."""

    @property
    def tolerance_seconds(self) -> int:
        """How old it may be."""

    @property
    def future_seconds(self) -> int:
        """How far ahead it may be."""


def staleness(timestamp: Tolerance | None, text: str | None, now: float) -> str | None:
    """Why the timestamp is outside its tolerance at Unix time `now`, with the age in seconds; `None` where it is
    not."""
    if timestamp is None or text is None or timestamp.unit == "opaque":
        return None
    seconds = UNITS[timestamp.unit](text)
    if seconds is None:
        return "timestamp_malformed"
    age = now - seconds
    if age > timestamp.tolerance_seconds:
        return f"timestamp_too_old: {age:.0f} s"
    if age < -timestamp.future_seconds:
        return f"timestamp_in_future: {-age:.0f} s"
    return None
