"""Locks on jobs: a drain renews its own, and takes back the jobs of dead drains, whose locks have expired.

A lock is a lease: BullMQ lets nobody else have the job while it lives, and it lives for `lock_seconds` after it was
taken or renewed. The drain's heartbeat, which says that it is live, is renewed with them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from shared.engine.drain.background_tasks import FAILED_TURN_PAUSE_SECONDS, run_periodically
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob
from shared.queue.live_drains import LiveDrains

logger = logging.getLogger(__name__)


class LockKeeper:
    """One drain's. While Redis is out of reach, each task waits for its next turn."""

    def __init__(
        self,
        consumer: JobConsumer,
        live_drains: LiveDrains,
        lock_seconds: float,
        name: str,
        active: Mapping[str, ClaimedJob],
        is_leaving: Callable[[], bool],
        waking: str | None = None,
    ) -> None:
        """`active` are the jobs that are worked on now, by their locks' tokens; `is_leaving` says that the drain claims
        no more, so that its heartbeat stops. `waking` is the token of the invocation that made this drain."""
        self._consumer, self._live_drains = consumer, live_drains
        self._lock_seconds, self._name = lock_seconds, name
        self._active, self._is_leaving, self._waking = active, is_leaving, waking

    async def renew_forever(self) -> None:
        """Renews locks and sends heartbeats until it is cancelled."""
        period = self._lock_seconds / 3
        # A renewal that hangs is given up, so that the next one comes before the locks expire.
        await run_periodically("locks", self._renew, period, min(period, FAILED_TURN_PAUSE_SECONDS))

    async def recover_forever(self) -> None:
        """Puts dead drains' jobs back into the queue, once their locks have expired, until it is cancelled."""
        await run_periodically("recovery", self._recover)

    async def announce(self) -> int:
        """Sends one heartbeat: how many drains are live with this one. Raises `QueueUnavailableError`."""
        return await self._live_drains.announce(self._name, self._lock_seconds, self._waking)

    async def _renew(self) -> float:
        # Locks first: the heartbeat only saves invocations, but a job without a lock is run twice.
        held = list(self._active.items())
        lost = set(await self._consumer.extend_locks([claimed for _, claimed in held]))
        # A job that was completed during the call has no lock either, and its fiber may hold the next one by now.
        lost_now = [claimed.id for token, claimed in held if claimed.id in lost and self._active.get(token) is claimed]
        if lost_now:
            # The runs go on: where another drain has one of them by now, the next append conflicts (the fence).
            logger.warning("locks_lost", extra={"job_ids": lost_now})
        if not self._is_leaving():
            await self.announce()
        return self._lock_seconds / 3

    async def _recover(self) -> float:
        recovered = await self._consumer.recover_stalled()
        if recovered:
            logger.warning("jobs_recovered", extra={"job_ids": recovered})
        return self._lock_seconds
