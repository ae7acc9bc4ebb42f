"""How long intake waits: for Supabase less than its client would, for a provider waits for the answer; for Redis not at
all once it has failed, for a while. The circuit is open then, and deliveries go around it."""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.errors import QueueError, QueueUnavailableError

# Where an older answer, another way or the sender's next attempt does as well.
SHORT_SECONDS = 1.5
# Where the delivery cannot be taken without it. A function may take 29 seconds, and asks at most four times.
LONG_SECONDS = 3.0

# After Redis failed, deliveries go around it for this long; each attempt could hold an answer up for a second or two.
CIRCUIT_OPEN_SECONDS = 2.0
# A Redis that refuses says so at once, one that hangs costs its deadline: twice as long each time, up to this.
MAX_CIRCUIT_OPEN_SECONDS = 16.0


class CircuitBreaker:
    """Whether Redis is gone around just now. One per process, for all that intake asks of Redis."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Redis is asked first."""
        self._clock, self._until, self._hangs = clock, 0.0, 0

    @property
    def is_open(self) -> bool:
        """Whether Redis is not to be asked."""
        return self._clock() < self._until

    def begin(self, error: QueueUnavailableError | QueueError) -> None:
        """Redis has failed; caused by a time-out, it hangs. A call that it refused, say for a key that somebody has
        spoilt, tells nothing of the next one, and begins no detour."""
        if isinstance(error, QueueError):
            return
        self._hangs = self._hangs + 1 if isinstance(error.__cause__, TimeoutError) else 0
        longer = min(
            CIRCUIT_OPEN_SECONDS * 2.0 ** max(0, self._hangs - 1), max(MAX_CIRCUIT_OPEN_SECONDS, CIRCUIT_OPEN_SECONDS)
        )
        self._until = self._clock() + longer

    def end(self) -> None:
        """Redis has answered."""
        self._until, self._hangs = 0.0, 0
