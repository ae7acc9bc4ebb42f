"""The loop of every change to an aggregate: read, decide, append; again when another writer was faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import StreamConflictError

Outcome = TypeVar("Outcome")

ATTEMPTS = 8


async def retry_on_conflict(attempt: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """The result of `attempt`, which reads the aggregate anew each time.

    Raises `StreamConflictError` when every one of `ATTEMPTS` met a conflict.
    """
    for turn in range(1, ATTEMPTS):
        try:
            return await attempt()
        except StreamConflictError:
            # Random pauses, so that concurrent writers do not meet again.
            await asyncio.sleep(random.uniform(0, 0.01 * turn))  # noqa: S311  # not a secret
    return await attempt()
