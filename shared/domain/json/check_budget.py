"""How much work a check of a tenant's data may be."""

from __future__ import annotations

from typing import NoReturn

from shared.errors import LimitExceededError

# Of a value against a schema, each value, keyword and listed name being one. A step takes a microsecond or two: all of
# them hold up an event loop no longer than an evaluation of an expression may.
MAX_STEPS = 40_000
# In a function that has one request at a time, which holds nobody else up: a quarter of a second.
MAX_REQUEST_STEPS = 200_000
# For what was judged before, without limits.
UNLIMITED = 2**63


class CheckBudget:
    """What is left of so many steps."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int = MAX_STEPS) -> None:
        """Several checks may share them."""
        self.limit = self.left = limit

    def take(self, count: int = 1) -> None:
        """Takes so many; raises `LimitExceededError` when no more are left."""
        self.left -= count
        if self.left < 0:
            self.refuse()

    def refuse(self) -> NoReturn:
        """Raises `LimitExceededError`."""
        raise LimitExceededError(
            f"The value and its schema are too large to be compared: they have more than {self.limit} values and "
            "keywords, or are nested too deeply."
        )
