"""How much work a check of a tenant's data may take."""

from __future__ import annotations

from typing import NoReturn

from shared.errors import LimitExceededError

# Each value, keyword and listed name is one step, of a microsecond or two: a check blocks the event loop no longer than
# the evaluation of an expression may.
MAX_STEPS = 40_000
# For a function that serves one request at a time, and blocks no other: a quarter of a second.
MAX_REQUEST_STEPS = 200_000
# For facts that were recorded before there were limits.
UNLIMITED = 2**63


class CheckBudget:
    """The steps that are left."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int = MAX_STEPS) -> None:
        """Several checks may share one budget of `limit` steps."""
        self.limit = self.left = limit

    def take(self, count: int = 1) -> None:
        """Takes `count` steps; raises `LimitExceededError` where fewer are left."""
        self.left -= count
        if self.left < 0:
            self.refuse()

    def refuse(self) -> NoReturn:
        """Raises `LimitExceededError`."""
        raise LimitExceededError(
            f"The value and its schema are too large to be compared: they have more than {self.limit} values and "
            "keywords, or are nested too deeply."
        )
