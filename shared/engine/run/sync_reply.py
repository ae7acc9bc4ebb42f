"""The answer that somebody waits for: told once, the moment it is durable."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from shared.domain.execution.state import ExecutionState
from shared.domain.response import answer_of
from shared.errors import QueueError, QueueUnavailableError

logger = logging.getLogger(__name__)

# A larger answer is not sent through Redis: whoever waits is told to read it from the store.
MAX_REPLY_CHARACTERS = 262_144
STORED = json.dumps({"stored": True})

Publish = Callable[[str, str], Awaitable[None]]


class SyncReply:
    """What one run owes to those who wait for it."""

    def __init__(self, state: ExecutionState, publish: Publish) -> None:
        """`publish` takes the run's id and the answer, in JSON; it raises `QueueUnavailableError`."""
        self._state, self._publish = state, publish
        # The number of the fact that brought the answer.
        self._since: int | None = None
        self._is_published = False
        self.on_recorded(0)

    @property
    def is_due(self) -> bool:
        """Whether there is an answer that nobody has been told."""
        return self._since is not None and not self._is_published

    def on_recorded(self, number: int) -> None:
        """Looks whether the fact with this number, just recorded, has brought the answer."""
        if self._since is None and answer_of(self._state) is not None:
            self._since = number

    async def on_committed(self, number: int) -> None:
        """Tells the answer, when the facts up to this number, now durable, have brought it."""
        if self._is_published or self._since is None or number < self._since:
            return
        self._is_published = True
        text = json.dumps(answer_of(self._state), separators=(",", ":"))
        try:
            await self._publish(self._state.id, text if len(text) <= MAX_REPLY_CHARACTERS else STORED)
        except (QueueUnavailableError, QueueError):
            logger.warning("answer_not_told", extra={"execution_id": self._state.id})
