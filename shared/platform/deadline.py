"""How long the work in hand may still wait for what it depends on, wherever the call is made.

    with within(2.0):
        await webhooks.hook(…)      # the store's answer, its repetitions included, within these two seconds

A caller says once how long it has; each call below asks how much of that is left. Without a deadline, each call has its
own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is called inside the block has so many seconds altogether; an earlier deadline around it stays."""
    ends_at, outer = time.monotonic() + seconds, _ends_at.get()
    token = _ends_at.set(ends_at if outer is None else min(outer, ends_at))
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left(at_most: float) -> float:
    """How long a call may take that would take `at_most` where nothing else is said; 0 when the time is up."""
    ends_at = _ends_at.get()
    return at_most if ends_at is None else min(at_most, max(0.0, ends_at - time.monotonic()))
