"""What a drain does for its queue while it works: it renews its locks and its presence, brings back what dead drains
left, and starts another drain when the backlog outgrows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from shared.errors import QueueUnavailableError
from shared.queue.execution_queue import ExecutionQueue
from shared.queue.job import ClaimedJob
from shared.queue.wake import wake_drain
from shared.settings import Settings

logger = logging.getLogger(__name__)

PACE_SECONDS = 1.0
# A backlog of so many jobs per fiber that has grown since the last look is more than one drain can do.
BACKLOG_PER_FIBER = 8


class Upkeep:
    """One drain's. While Redis is out of reach each part waits for its next turn."""

    def __init__(
        self,
        queue: ExecutionQueue,
        settings: Settings,
        name: str,
        active: Mapping[str, ClaimedJob],
        is_leaving: Callable[[], bool],
    ) -> None:
        """`active` are the jobs that are worked on now, by their ids; `is_leaving` says that the drain claims no more,
        so that its presence is not renewed."""
        self._queue, self._settings, self._name = queue, settings, name
        self._active, self._is_leaving = active, is_leaving
        self._backlog = 0

    async def keep_locks(self) -> None:
        """Renews locks and presence until it is cancelled."""
        await self._keep(self._renew, self._settings.lock_seconds / 3)

    async def keep_recovering(self) -> None:
        """Brings back dead drains' jobs, once their locks have expired, until it is cancelled."""
        await self._keep(self._recover, self._settings.lock_seconds)

    async def keep_pace(self) -> None:
        """Starts another drain each time the backlog has outgrown this one, until it is cancelled."""
        await asyncio.sleep(PACE_SECONDS)
        await self._keep(self._grow, PACE_SECONDS)

    async def announce(self) -> None:
        """Says that this drain lives. Raises `QueueUnavailableError`."""
        await self._queue.announce(self._name, self._settings.lock_seconds)

    async def _keep(self, turn: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await turn()
            except QueueUnavailableError:
                logger.warning("queue_unavailable")
            await asyncio.sleep(seconds)

    async def _renew(self) -> None:
        if not self._is_leaving():
            await self.announce()
        lost = await self._queue.extend_locks(list(self._active.values()))
        # A job that was completed meanwhile has no lock either.
        lost = [job_id for job_id in lost if job_id in self._active]
        if lost:
            # The runs go on: should somebody else have them by now, their next append conflicts.
            logger.warning("locks_lost", extra={"job_ids": lost})

    async def _recover(self) -> None:
        recovered = await self._queue.recover_stalled()
        if recovered:
            logger.warning("jobs_recovered", extra={"job_ids": recovered})

    async def _grow(self) -> None:
        backlog = (await self._queue.counts())["wait"]
        if backlog > max(self._backlog, BACKLOG_PER_FIBER * self._settings.drain_concurrency):
            await wake_drain(self._queue)
        self._backlog = backlog
