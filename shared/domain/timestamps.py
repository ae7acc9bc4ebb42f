"""RFC 3339 timestamps in UTC with six decimals and a Z: the form in which the service writes every time."""

from __future__ import annotations

from datetime import UTC, datetime

# 366 days: the upper bound of every configured wait and timeout.
MAX_DURATION_SECONDS = 31_622_400


def timestamp(seconds: float) -> str:
    """The timestamp of a Unix time in seconds."""
    # Twenty times as fast as strftime, and every event has a timestamp.
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def unix_seconds(text: str) -> float:
    """The Unix time of an RFC 3339 timestamp; a malformed one, or one without an offset, raises `ValueError`."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; end it with Z.")
    return moment.timestamp()


def in_utc(text: str | None) -> str | None:
    """The same time in the service's form; `None` stays `None`."""
    return None if text is None else timestamp(unix_seconds(text))
