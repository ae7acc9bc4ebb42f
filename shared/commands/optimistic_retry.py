"""The one loop of every change to an aggregate: read, decide, append; once more when somebody was faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import StreamConflictError

Outcome = TypeVar("Outcome")

ATTEMPTS = 8


async def retry_on_conflict(attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """What `attempt` yields; it reads afresh each time, so a conflict means only that it has to look again.

    Raises `StreamConflictError` when it was overtaken every time.
    """
    for turn in range(1, ATTEMPTS):
        try:
            return await attempt()
        except StreamConflictError:
            # Spread out, so that many writers at once do not meet again.
            await asyncio.sleep(random.uniform(0, 0.01 * turn))  # noqa: S311  # not a secret
    return await attempt()
