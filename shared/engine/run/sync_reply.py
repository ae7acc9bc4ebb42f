"""Publishes a synchronous reply once, as soon as the events that produced it are committed."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable

from shared.domain.execution.state import ExecutionState
from shared.domain.response import answer_of
from shared.errors import QueueError, QueueUnavailableError

logger = logging.getLogger(__name__)

# A larger reply is not sent through Redis: the waiting function reads it from the store.
MAX_REPLY_CHARACTERS = 262_144
STORED = json.dumps({"stored": True})

Publish = Callable[[str, str], Awaitable[None]]


class SyncReply:
    """The reply of one run to the clients that wait for it."""

    def __init__(self, state: ExecutionState, publish: Publish) -> None:
        """`publish` takes the run's id and the reply, in JSON; it may raise `QueueUnavailableError`."""
        self._state, self._publish = state, publish
        # The number of the fact that produced the reply.
        self._number: int | None = None
        self._is_published = False
        self.on_recorded(0)

    @property
    def is_due(self) -> bool:
        """Whether there is a reply that has not been published."""
        return self._number is not None and not self._is_published

    def on_recorded(self, number: int) -> None:
        """Takes in that the fact with this number was recorded, which may have produced the reply."""
        if self._number is None and answer_of(self._state) is not None:
            self._number = number

    async def on_committed(self, number: int) -> None:
        """Publishes the reply, if the facts up to this number, which are durable now, produced it."""
        if self._is_published or self._number is None or number < self._number:
            return
        # Set before the call: a later commit must not publish it once more.
        self._is_published = True
        text = json.dumps(answer_of(self._state), separators=(",", ":"))
        try:
            await self._publish(self._state.id, text if len(text) <= MAX_REPLY_CHARACTERS else STORED)
        except (QueueUnavailableError, QueueError):
            logger.warning("answer_not_told", extra={"execution_id": self._state.id})
