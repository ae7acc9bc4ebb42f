"""Long computations on a drain's event loop, one at a time, so that none of them stops the other runs for long.

A delivery of some megabytes takes a tenth of a second and more to be read. Sixteen of them that begin together would
hold everybody up for as long as all of them take; so each waits for its turn, and after each the loop is everybody
else's for as long as it took.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# What is smaller is read in a few milliseconds, and waits for nobody.
LARGE_BYTES = 262_144


class Turns:
    """One drain's. Belongs to one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def take(self, compute: Callable[[], Result], size_bytes: int) -> Result:
        """What `compute` makes of so many bytes; it raises what that raises."""
        if size_bytes < LARGE_BYTES:
            return compute()
        async with self._turn:
            began = time.monotonic()
            try:
                return compute()
            finally:
                await asyncio.sleep(time.monotonic() - began)
