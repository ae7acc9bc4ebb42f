"""How much may be done to read one request: what is copied, changed and hashed of it, counted in bytes.

Schemes that tenants write are run on requests that nobody has signed. Each step of them takes time in proportion to
what goes in and comes out, so a bound on the sum bounds the time, whatever the steps are.
"""

from __future__ import annotations

# What the smallest request may cost: some milliseconds.
LEAST_BYTES = 4_000_000
# Some providers' bodies are written again and hashed in several ways, with two secrets while one is being replaced.
TIMES_SENT = 64
# A body that was sent deflated is inflated and hashed.
TIMES_INFLATED = 4
# What a step costs however little it reads.
STEP_BYTES = 64


class WorkBudget:
    """What may still be done for one request. Once there is nothing left, whatever is read is not there."""

    __slots__ = ("_is_inflated", "_left", "_light")

    def __init__(self, sent_bytes: int) -> None:
        """`sent_bytes` is how large the request is."""
        self._left = LEAST_BYTES + TIMES_SENT * sent_bytes
        self._is_inflated = False
        self._light = self._left * 7 // 8

    def spend(self, size: int) -> bool:
        """Whether there was enough left for a step over `size` bytes."""
        if self._left >= 0:
            self._left -= size + STEP_BYTES
        return self._left >= 0

    def inflated(self, size: int) -> None:
        """What was sent turned out to be this large. Said once, for a body may be inflated again for each secret."""
        if not self._is_inflated:
            self._left += TIMES_INFLATED * size
            self._is_inflated = True

    @property
    def is_light(self) -> bool:
        """Whether so little has been done that it may be done a dozen times more."""
        return self._left >= self._light

    @property
    def is_spent(self) -> bool:
        """Whether something was not read for want of it."""
        return self._left < 0
