"""The cache in Redis of what intake needs from Supabase: each entry expires and may be missing at any time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.json_types import JsonObject
from shared.queue.connection import in_time
from shared.queue.keys import OwnKeys

# How long an entry is used without asking Supabase: a write-through that failed leaves a stale one for this long.
FRESH_SECONDS = 60
# How long it stays, so that deliveries are accepted while Supabase cannot be asked.
WEBHOOK_SECONDS = 86_400
# For a webhook that does not exist: short, because it may be created at this moment.
NO_WEBHOOK_SECONDS = 5
PUBLISHED_SECONDS = 60
# The longest that a cache look-up is worth: a caller without an answer asks Supabase.
TIMEOUT_SECONDS = 1.0


class RememberedWebhook(NamedTuple):
    """A webhook in Redis: `{id, tenant_id, workflow_id, node_id, name, provider, config, status, published, secrets:
    [{secret, expires_at}]}` with encrypted secrets, or `None` for one that does not exist. `text` is the entry itself.
    One that is not fresh is used only while Supabase cannot be asked."""

    text: str | None
    config: JsonObject | None
    is_known: bool
    is_fresh: bool


class ConfigCache:
    """Published versions and webhooks as intake needs them. Every method raises `QueueUnavailableError`."""

    def __init__(self, client: Redis, keys: OwnKeys) -> None:
        """Asks through the process's client."""
        self._client, self._keys = client, keys

    async def published_versions(self, workflow_ids: Sequence[str]) -> dict[str, int]:
        """The published version by workflow, 0 for none published; workflows that are not cached are left out."""
        if not workflow_ids:
            return {}
        async with in_time(TIMEOUT_SECONDS):
            versions: Any = await self._client.mget([self._keys.published(workflow_id) for workflow_id in workflow_ids])
        return {
            workflow_id: int(version)
            for workflow_id, version in zip(workflow_ids, versions, strict=True)
            if version is not None and version.isdecimal()
        }

    async def remember_published(self, workflow_id: str, version: int, stream_version: int) -> None:
        """Writes through what a command has just committed: a workflow's published version (0: none) as of a version of
        its stream, unless a later one is cached."""
        keys = (self._keys.published(workflow_id), self._keys.published_at(workflow_id))
        async with in_time(TIMEOUT_SECONDS):
            await self._client.eval(_PUBLISHED, 2, *keys, version, stream_version, PUBLISHED_SECONDS)

    async def refill_published(self, workflow_id: str, version: int) -> None:
        """Caches a published version as a reader found it, only where there is no entry: a command may have committed
        another one since it was read."""
        async with in_time(TIMEOUT_SECONDS):
            # NX: an entry that is there may be a command's, and newer than what this reader found.
            await self._client.set(self._keys.published(workflow_id), version, ex=PUBLISHED_SECONDS, nx=True)

    async def webhook_config(self, webhook_id: str) -> RememberedWebhook:
        """The cached entry of the webhook."""
        async with in_time(TIMEOUT_SECONDS):
            text: Any = await self._client.get(self._keys.webhook(webhook_id))
        return _remembered(text)

    async def webhook_configs(self, webhook_ids: Sequence[str]) -> list[RememberedWebhook]:
        """The cached entry of each webhook, in order; `webhook_ids` must not be empty."""
        async with in_time(TIMEOUT_SECONDS):
            texts: Any = await self._client.mget([self._keys.webhook(webhook_id) for webhook_id in webhook_ids])
        return [_remembered(text) for text in texts]

    async def refill_webhook(self, webhook_id: str, config: JsonObject | None, seen: RememberedWebhook) -> bool:
        """Caches the webhook (`None`: there is none) as it was read from Supabase after the entry had been `seen`.
        Whether it was: not where another process has written the entry since (compare and set)."""
        return await self.refill_webhooks([(webhook_id, config, seen)]) == []

    async def refill_webhooks(self, read: Sequence[tuple[str, JsonObject | None, RememberedWebhook]]) -> list[str]:
        """The ids of those that were not cached, because their entries were written since; as `refill_webhook`."""
        keys = [self._keys.webhook(webhook_id) for webhook_id, *_ in read]
        arguments = [part for _, config, seen in read for part in (seen.text or "", *_entry(config))]
        async with in_time(TIMEOUT_SECONDS):
            written: Any = await self._client.eval(_REFILL, len(keys), *keys, *arguments)
        return [webhook_id for (webhook_id, *_), is_written in zip(read, written, strict=True) if not is_written]

    async def forget_webhook(self, webhook_id: str) -> None:
        """Deletes the entry: the next reader asks Supabase."""
        async with in_time(TIMEOUT_SECONDS):
            await self._client.delete(self._keys.webhook(webhook_id))


def _remembered(text: str | None) -> RememberedWebhook:
    if text is None:
        return RememberedWebhook(None, None, is_known=False, is_fresh=False)
    try:
        entry = json.loads(text)
        is_fresh = time.time() - entry["remembered_at"] < FRESH_SECONDS
        return RememberedWebhook(text, entry["webhook"], is_known=True, is_fresh=is_fresh)
    except (ValueError, LookupError, TypeError, RecursionError):
        # Not an entry of ours. What Supabase says replaces it.
        return RememberedWebhook(text, None, is_known=False, is_fresh=False)


def _entry(config: JsonObject | None) -> tuple[str, int]:
    # To the microsecond, so that no two entries are equal: a writer compares them to see whether another has written.
    text = json.dumps({"remembered_at": round(time.time(), 6), "webhook": config}, separators=(",", ":"))
    return text, NO_WEBHOOK_SECONDS if config is None else WEBHOOK_SECONDS


_REFILL = """
local written = {}
for i, key in ipairs(KEYS) do
  local seen, text, seconds = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  written[i] = (redis.call("GET", key) or "") == seen and 1 or 0
  if written[i] == 1 then redis.call("SET", key, text, "EX", seconds) end
end
return written
"""
_PUBLISHED = """
if tonumber(redis.call("GET", KEYS[2]) or 0) <= tonumber(ARGV[2]) then
  redis.call("SET", KEYS[1], ARGV[1], "EX", ARGV[3])
  redis.call("SET", KEYS[2], ARGV[2], "EX", ARGV[3])
end
"""
