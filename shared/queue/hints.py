"""What Redis remembers so that Supabase need not be asked: each entry expires and may be missing at any time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from shared.queue.connection import in_our_terms
from shared.queue.keys import OwnKeys

# A write-through that failed leaves an old entry behind for at most this long.
WEBHOOK_SECONDS = 60
# A webhook that does not exist; short, because creating it may be under way.
NO_WEBHOOK_SECONDS = 5
PUBLISHED_SECONDS = 60


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
        with in_our_terms():
            found = await self._client.mget([self._keys.published(workflow_id) for workflow_id in workflow_ids])
        return {
            workflow_id: int(version)
            for workflow_id, version in zip(workflow_ids, found, strict=True)
            if version is not None
        }

    async def remember_published(
        self, workflow_id: str, version: int, ttl_seconds: int = PUBLISHED_SECONDS, *, refill: bool = False
    ) -> None:
        """Remembers a workflow's published version (0: none); `refill` as in `remember_webhook`."""
        with in_our_terms():
            await self._client.set(self._keys.published(workflow_id), version, ex=ttl_seconds, nx=refill)

    async def webhook_config(self, webhook_id: str) -> tuple[bool, dict[str, Any] | None]:
        """Whether Redis knows, and the webhook `{id, tenant_id, workflow_id, node_id, name, provider, config, status,
        published, secrets: [{secret, expires_at}]}` with encrypted secrets; `None` for one that does not exist."""
        with in_our_terms():
            text = await self._client.get(self._keys.webhook(webhook_id))
        return (False, None) if text is None else (True, json.loads(text))

    async def remember_webhook(self, webhook_id: str, config: dict[str, Any] | None, *, refill: bool = False) -> None:
        """Remembers a webhook; `None` says that there is none (any more).

        Commands write what they have just committed. A reader that fills a gap sets `refill`: it may have read before
        that commit, so it writes only where nothing stands.
        """
        ttl_seconds = NO_WEBHOOK_SECONDS if config is None else WEBHOOK_SECONDS
        text = json.dumps(config, separators=(",", ":"))
        with in_our_terms():
            await self._client.set(self._keys.webhook(webhook_id), text, ex=ttl_seconds, nx=refill)
