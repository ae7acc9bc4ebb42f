"""What Redis remembers so that Supabase need not be asked: each entry expires and may be missing at any time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys

# How long an entry is believed without asking: a write-through that failed leaves an old one behind for this long.
FRESH_SECONDS = 60
# How long it stays, so that deliveries are accepted while Supabase cannot be asked.
WEBHOOK_SECONDS = 86_400
# A webhook that does not exist; short, because creating it may be under way.
NO_WEBHOOK_SECONDS = 5
PUBLISHED_SECONDS = 60
# A hint is not worth more: who does not get it in time asks Supabase.
TIMEOUT_SECONDS = 1.0


class RememberedWebhook(NamedTuple):
    """A webhook in Redis: `{id, tenant_id, workflow_id, node_id, name, provider, config, status, published, secrets:
    [{secret, expires_at}]}` with encrypted secrets, or `None` for one that does not exist. `text` is the entry itself.
    One that is not fresh is for when nobody else can be asked."""

    text: str | None
    config: dict[str, Any] | None
    is_known: bool
    is_fresh: bool


class Hints:
    """Published versions and webhooks as intake needs them. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Uses the queue's client."""
        self._client = client
        self._keys = keys

    async def published_versions(self, workflow_ids: Sequence[str]) -> dict[str, int]:
        """The published version by workflow, 0 for none published; workflows that Redis does not know are left out."""
        if not workflow_ids:
            return {}
        async with in_time(TIMEOUT_SECONDS):
            found = await self._client.mget([self._keys.published(workflow_id) for workflow_id in workflow_ids])
        return {
            workflow_id: int(version)
            for workflow_id, version in zip(workflow_ids, found, strict=True)
            if version is not None
        }

    async def remember_published(
        self, workflow_id: str, version: int, ttl_seconds: int = PUBLISHED_SECONDS, *, refill: bool = False
    ) -> None:
        """Remembers a workflow's published version (0: none). Commands write what they have just committed; a reader
        that fills a gap sets `refill`: it may have read before that commit, so it writes only where nothing stands."""
        async with in_time(TIMEOUT_SECONDS):
            await self._client.set(self._keys.published(workflow_id), version, ex=ttl_seconds, nx=refill)

    async def webhook_config(self, webhook_id: str) -> RememberedWebhook:
        """What Redis knows of the webhook."""
        async with in_time(TIMEOUT_SECONDS):
            text: Any = await self._client.get(self._keys.webhook(webhook_id))
        if text is None:
            return RememberedWebhook(None, None, is_known=False, is_fresh=False)
        entry = json.loads(text)
        is_fresh = time.time() - entry["remembered_at"] < FRESH_SECONDS
        return RememberedWebhook(text, entry["webhook"], is_known=True, is_fresh=is_fresh)

    async def remember_webhook(self, webhook_id: str, config: dict[str, Any] | None) -> None:
        """Remembers a webhook that a command has just committed; `None` says that there is none (any more)."""
        text, ttl_seconds = _entry(config)
        async with in_time(TIMEOUT_SECONDS):
            await self._client.set(self._keys.webhook(webhook_id), text, ex=ttl_seconds)

    async def refill_webhook(self, webhook_id: str, config: dict[str, Any] | None, seen: RememberedWebhook) -> None:
        """Remembers a webhook as a reader found it, unless a command has written since `seen` was read."""
        text, ttl_seconds = _entry(config)
        async with in_time(TIMEOUT_SECONDS):
            await self._client.eval(_REFILL, 1, self._keys.webhook(webhook_id), seen.text or "", text, ttl_seconds)


def _entry(config: dict[str, Any] | None) -> tuple[str, int]:
    text = json.dumps({"remembered_at": int(time.time()), "webhook": config}, separators=(",", ":"))
    return text, NO_WEBHOOK_SECONDS if config is None else WEBHOOK_SECONDS


_REFILL = """
if (redis.call("GET", KEYS[1]) or "") == ARGV[1] then
  redis.call("SET", KEYS[1], ARGV[2], "EX", ARGV[3])
end
"""
