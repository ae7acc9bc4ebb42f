"""Deadlines that propagate: a caller says once how long it has, and every call below it keeps within what is left.

    with within(2.0):
        await webhooks.get(…)       # the store's answer, its retries included, within these two seconds

Without a deadline around it, each call has its own timeout alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All calls inside the block have so many seconds together; an outer deadline that is earlier still holds."""
    ends_at, outer = time.monotonic() + seconds, _ends_at.get()
    token = _ends_at.set(ends_at if outer is None else min(outer, ends_at))
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left(at_most: float) -> float:
    """How many seconds a call may take: `at_most`, or less under a deadline; 0 when the time is up."""
    ends_at = _ends_at.get()
    return at_most if ends_at is None else min(at_most, max(0.0, ends_at - time.monotonic()))
