"""How many clients of each tenant wait for a response: each holds an environment of Lambda while it waits."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from shared.errors import QueueError, QueueUnavailableError
from shared.ids import new_id
from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys
from shared.queue.scripts import ScriptRunner, own_script

logger = logging.getLogger(__name__)

# Redis is asked before a wait and after it; one that hangs must not cost the wait itself.
CALL_SECONDS = 1.0
# For how much longer than its wait a client counts whose function was killed.
GRACE_SECONDS = 5.0


class WaitingClients:
    """Counts the waiting clients of each tenant, in all functions together."""

    def __init__(self, client: Redis, scripts: ScriptRunner, keys: OwnKeys, most: int) -> None:
        """At most `most` clients of a tenant wait at a time; 0 is no limit."""
        self._client, self._scripts, self._keys, self._most = client, scripts, keys, most

    @asynccontextmanager
    async def waiting(self, tenant_id: str, seconds: float) -> AsyncIterator[bool]:
        """Counts a client that waits for at most `seconds`: whether it may, or as many of the tenant's wait already.

        Where Redis does not answer every client may wait: a run's answer is in the store as well.
        """
        if not self._most:
            yield True
            return
        token = new_id()
        may_wait = await self._begin(tenant_id, token, seconds)
        try:
            yield may_wait
        finally:
            if may_wait:
                await self._end(tenant_id, token)

    async def _begin(self, tenant_id: str, token: str, seconds: float) -> bool:
        arguments = [token, int((seconds + GRACE_SECONDS) * 1000), self._most]
        try:
            async with in_time(CALL_SECONDS):
                may_wait: int = await self._scripts.call(
                    own_script("begin_wait"), [self._keys.waiting(tenant_id)], arguments
                )
        except (QueueUnavailableError, QueueError) as error:
            logger.warning("waits_not_counted", extra={"reason": error.detail})
            return True
        return bool(may_wait)

    async def _end(self, tenant_id: str, token: str) -> None:
        try:
            async with in_time(CALL_SECONDS):
                await self._client.zrem(self._keys.waiting(tenant_id), token)
        except (QueueUnavailableError, QueueError) as error:
            # It stops counting by itself when its time is up.
            logger.warning("wait_not_ended", extra={"reason": error.detail})
