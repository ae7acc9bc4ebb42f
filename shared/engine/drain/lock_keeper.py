"""What a drain does for its queue while it works: it renews its locks and its presence, brings back what dead drains
left, and starts another drain when that would help."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from shared.engine.drain.background_tasks import FAILED_TURN_PAUSE_SECONDS, run_periodically
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob
from shared.queue.wake import wake_drain
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.engine.drain.autoscaler import ScalingPolicy

logger = logging.getLogger(__name__)

PACE_SECONDS = 1.0

# How many jobs this drain has finished, how often something was unavailable to it, and the share of its places in use.
Progress = tuple[int, int, float]


class LockKeeper:
    """One drain's. While Redis is out of reach each part waits for its next turn."""

    def __init__(
        self,
        queue: JobConsumer,
        settings: Settings,
        name: str,
        active: Mapping[str, ClaimedJob],
        is_leaving: Callable[[], bool],
        progress: Callable[[], Progress],
        waking: str | None = None,
    ) -> None:
        """`active` are the jobs that are worked on now, by their locks' tokens; `is_leaving` says that the drain claims
        no more, so that its presence is not renewed. `waking` is the token of the waking that made this drain."""
        self._queue, self._settings, self._name = queue, settings, name
        self._active, self._is_leaving = active, is_leaving
        self._progress, self._waking = progress, waking

    async def keep_locks(self) -> None:
        """Renews locks and presence until it is cancelled."""
        turn = self._settings.lock_seconds / 3
        # One that hangs is given up, so that the next comes before the locks expire.
        await run_periodically("locks", self._renew, turn, min(turn, FAILED_TURN_PAUSE_SECONDS))

    async def keep_recovering(self) -> None:
        """Brings back dead drains' jobs, once their locks have expired, until it is cancelled."""
        await run_periodically("recovery", self._recover)

    async def keep_scaling(self) -> None:
        """Starts another drain whenever that would help, until it is cancelled."""
        await asyncio.sleep(PACE_SECONDS)
        from shared.engine.drain.autoscaler import ScalingPolicy  # the first runs do not wait for it

        await run_periodically("pace", partial(self._scale, ScalingPolicy(self._settings.drain_concurrency)))

    async def announce(self) -> int:
        """How many drains are live, now that this one has said so. Raises `QueueUnavailableError`."""
        return await self._queue.announce(self._name, self._settings.lock_seconds, self._waking)

    async def _renew(self) -> float:
        # Locks first: presence is a hint, and a job without a lock is done twice.
        held = list(self._active.items())
        lost = set(await self._queue.extend_locks([claimed for _, claimed in held]))
        # A job that was completed meanwhile has no lock either.
        lost_now = [claimed.id for token, claimed in held if claimed.id in lost and self._active.get(token) is claimed]
        if lost_now:
            # The runs go on: should somebody else have them by now, their next append conflicts.
            logger.warning("locks_lost", extra={"job_ids": lost_now})
        if not self._is_leaving():
            await self.announce()
        return self._settings.lock_seconds / 3

    async def _recover(self) -> float:
        recovered = await self._queue.recover_stalled()
        if recovered:
            logger.warning("jobs_recovered", extra={"job_ids": recovered})
        return self._settings.lock_seconds

    async def _scale(self, growth: ScalingPolicy) -> float:
        from shared.engine.drain.autoscaler import Sample

        waiting, live = (await self._queue.counts())["wait"], await self._queue.live_drains()
        finished, unavailable, slots_used = self._progress()
        look = Sample(time.monotonic(), finished, unavailable, slots_used, waiting, live)
        if live < self._settings.max_drains and growth.is_due(look):
            await wake_drain(self._queue)
        return PACE_SECONDS
