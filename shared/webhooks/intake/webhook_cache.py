"""The webhook of a delivery's URL: from this process's memory, else from Redis, else from Supabase.

An entry is used for some seconds without asking. A stale one is kept, and used while Supabase cannot be asked.
"""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from typing import Literal, NamedTuple

from shared.bootstrap import Services
from shared.domain.timestamps import unix_seconds
from shared.domain.webhook.intake_config import STORED, WAIT, intake_config
from shared.domain.webhook.provider_rules import secret_context
from shared.errors import (
    GoneError,
    QueueError,
    QueueUnavailableError,
    SecretUnreadableError,
    StorageUnavailableError,
    UnavailableError,
)
from shared.json_types import JsonMapping, JsonObject
from shared.platform.deadline import within
from shared.platform.lru_cache import LruCache
from shared.queue.cache import RememberedWebhook
from shared.queue.connection import CircuitBreaker
from shared.webhooks.providers.catalog import provider
from shared.webhooks.providers.provider import Provider

# Verdicts of the delivery log.
Closed = Literal["paused", "unpublished"]

logger = logging.getLogger(__name__)

# How long Supabase is waited for, less than its client would: where an older answer, another way or the sender's next
# attempt does as well ...
SHORT_SECONDS = 1.5
# ... and where the delivery cannot be taken without it. A function may take 29 seconds, and asks at most four times.
LONG_SECONDS = 3.0

# A change must take effect within 10 seconds, in every process.
MEMORY_SECONDS = 5.0
# A webhook that refuses is asked for again sooner: it is often tried the moment it is created or published.
REFUSAL_MEMORY_SECONDS = 1.0
# How many webhooks a process remembers.
MAX_WEBHOOKS = 1000
# Unknown ids, which anybody can make up, have a cache of their own, so that they evict no webhook.
MAX_UNKNOWN = 200
# A shorter secret is only looked for as a whole text: it may be part of an ordinary one.
LONG_CHARACTERS = 8


class CachedWebhook(NamedTuple):
    """A webhook as intake needs it, with its secrets decrypted.

    `provider` is unset where the configuration is invalid; `secrets` are (text, Unix time at which it expires or
    `None`); `awaits_secret`: no delivery is taken before there is one. `is_stored`: a delivery is in Supabase before it
    is answered; `answers_with_run`: it is answered with what its run responds. `secret_headers` and `secret_parameters`
    (of the query) are where the provider sends the secret itself; `body_is_token`: its body is a JSON Web Token.
    `is_unreadable`: it has secrets, none of which can be decrypted. `traces`: one of these is in every text that has a
    secret as it is or in base64; a text that is shorter than `LONG_CHARACTERS` is a trace as a whole alone.
    """

    id: str
    tenant_id: str
    workflow_id: str
    node_id: str | None
    provider_id: str
    provider: Provider | None
    config: JsonMapping
    is_active: bool
    is_holding: bool
    awaits_secret: bool
    is_published: bool
    secrets: tuple[tuple[str, float | None], ...]
    is_stored: bool = False
    answers_with_run: bool = False
    secret_headers: frozenset[str] = frozenset()
    secret_parameters: frozenset[str] = frozenset()
    body_is_token: bool = False
    is_unreadable: bool = False
    traces: tuple[str, ...] = ()

    def usable_secrets(self, now: float) -> list[str]:
        """The secrets that have not expired at Unix time `now`."""
        return [secret for secret, expires_at in self.secrets if expires_at is None or now < expires_at]


class MemoryEntry(NamedTuple):
    """A webhook, or `None` for an unknown id; `until` is the monotonic time up to which it is fresh."""

    until: float
    webhook: CachedWebhook | None


class ProcessCache:
    """The webhooks that this process has used last and, apart from them, unknown ids; both bounded."""

    def __init__(self) -> None:
        """Empty."""
        self._webhooks: LruCache[str, MemoryEntry] = LruCache(MAX_WEBHOOKS)
        self._unknown: LruCache[str, MemoryEntry] = LruCache(MAX_UNKNOWN)

    def find(self, webhook_id: str) -> MemoryEntry | None:
        """The entry, however old; `None` where there is none."""
        return self._webhooks.get(webhook_id) or self._unknown.get(webhook_id)

    def keep(self, webhook_id: str, webhook: CachedWebhook | None, seconds: float) -> None:
        """Caches the webhook, fresh for so many seconds. The least recently used one is evicted."""
        # From both: an id that was unknown may have become a webhook, or the other way round.
        self.forget(webhook_id)
        cache = self._unknown if webhook is None else self._webhooks
        cache.put(webhook_id, MemoryEntry(time.monotonic() + seconds, webhook))

    def forget(self, webhook_id: str) -> None:
        """Deletes the entry."""
        self._webhooks.take(webhook_id)
        self._unknown.take(webhook_id)


class WebhookCache:
    """Finds webhooks. One per process."""

    def __init__(self, services: Services, circuit: CircuitBreaker) -> None:
        """Nothing connects before its first use. `circuit` is the process's own around Redis."""
        self._services, self._circuit = services, circuit
        self._memory = ProcessCache()

    async def find(self, webhook_id: str) -> CachedWebhook | None:
        """The webhook; `None` when there is none.

        While Supabase cannot be asked, or takes longer than its deadline, the last one known: this process's, for as
        long as it lives, or Redis's, for a day after it was written. `StorageUnavailableError` where there is none.
        """
        remembered = self._memory.find(webhook_id)
        if remembered is not None and time.monotonic() < remembered.until:
            return remembered.webhook
        # With a stale copy at hand the caller waits less: it is used when Supabase does not answer soon.
        stale = None if remembered is None else remembered.webhook
        try:
            config = await self._ask(webhook_id, SHORT_SECONDS if stale is not None else LONG_SECONDS)
            webhook = None if config is None else await _open(config)
        except UnavailableError:
            if stale is None:
                raise
            # Fresh again, so that not every delivery during an outage waits for the deadline.
            self._memory.keep(webhook_id, stale, MEMORY_SECONDS)
            return stale
        takes = webhook is not None and webhook.is_active and webhook.is_published and not webhook.awaits_secret
        takes = takes and webhook is not None and not webhook.is_unreadable
        self._memory.keep(webhook_id, webhook, MEMORY_SECONDS if takes else REFUSAL_MEMORY_SECONDS)
        return webhook

    def forget(self, webhook_id: str) -> None:
        """Deletes the webhook, which has just changed: the next delivery asks again."""
        self._memory.forget(webhook_id)

    async def _ask(self, webhook_id: str, seconds: float) -> JsonObject | None:
        seen = None if self._circuit.is_open else await self._ask_redis(webhook_id)
        if seen is not None and seen.is_fresh:
            return seen.config
        try:
            with within(SHORT_SECONDS if seen is not None and seen.is_known else seconds):
                row = await self._services.webhooks.for_intake(webhook_id)
        except StorageUnavailableError:
            if seen is None and self._circuit.is_open:
                seen = await self._ask_redis(webhook_id)  # it may be back, and there is no other way left
            if seen is None or not seen.is_known:
                raise
            return seen.config
        config = intake_config(row) if row else None
        # Compared with the entry that was seen: a command may have written a newer one while Supabase was read.
        if seen is not None:
            try:
                await self._services.config_cache.refill_webhook(webhook_id, config, seen)
            except (QueueUnavailableError, QueueError):
                logger.warning("webhook_not_remembered", extra={"webhook_id": webhook_id})
        return config

    async def _ask_redis(self, webhook_id: str) -> RememberedWebhook | None:
        try:
            return await self._services.config_cache.webhook_config(webhook_id)
        except (QueueUnavailableError, QueueError) as error:
            self._circuit.open(error)
            return None


def _traces(secrets: list[tuple[str, float | None]]) -> tuple[str, ...]:
    """The secrets, as they are and, but for short ones, in base64 at each offset. Whole: whoever could find out by the
    time it takes that a text has one of these knows the secret."""
    found = []
    for secret, _ in secrets:
        found.append(secret)
        if len(secret) >= LONG_CHARACTERS:
            content = secret.encode()
            for before in range(3):
                encoded = b64encode(bytes(before) + content).decode()
                # Without the digits at its ends that also have bits of what stands beside it.
                found.append(encoded[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6])
    return tuple(found)


async def _open(config: JsonObject) -> CachedWebhook:
    """The webhook with its secrets decrypted."""
    secrets: list[tuple[str, float | None]] = []
    if config["secrets"]:
        from shared.aws.secrets import decrypt  # brings `cryptography`, which only a webhook not in memory needs

        context = secret_context(config["tenant_id"], config["id"])
        for item in config["secrets"]:
            expires_at = unix_seconds(item["expires_at"]) if item["expires_at"] else None
            try:
                secrets.append((await decrypt(item["secret"], context), expires_at))
            except SecretUnreadableError:
                # Sealed for another row, or under a key that was taken away: the operator must know, and nobody else.
                ids = {"webhook_id": config["id"], "tenant_id": config["tenant_id"]}
                logger.error("webhook_secret_unreadable", extra=ids)  # the error says no more
    usable_provider = _provider(config)
    return CachedWebhook(
        id=config["id"],
        tenant_id=config["tenant_id"],
        workflow_id=config["workflow_id"],
        node_id=config["node_id"],
        provider_id=config["provider"],
        provider=usable_provider,
        config=config["config"],
        is_active=config["status"] != "paused",
        is_holding=config["status"] == "holding",
        awaits_secret=config["status"] == "awaiting_secret",
        is_published=bool(config["published"]),
        secrets=tuple(secrets),
        is_stored=config["config"].get("durability") == STORED,
        answers_with_run=config["config"].get("response") == WAIT,
        secret_headers=frozenset(name.lower() for name in _secret_places(usable_provider, "header:")),
        secret_parameters=frozenset(_secret_places(usable_provider, "query:")),
        body_is_token=_has_token_body(usable_provider),
        is_unreadable=bool(config["secrets"]) and not secrets,
        traces=_traces(secrets),
    )


def _secret_places(provider: Provider | None, kind: str) -> list[str]:
    """The names of this kind's places (`header:`, `query:`) in which the provider sends the secret itself."""
    if provider is None or provider.scheme.kind not in ("token", "basic", "jwt") or provider.scheme.signature is None:
        return []
    places = provider.scheme.signature.places
    return [place.partition("|")[0].removeprefix(kind) for place in places if place.startswith(kind)]


def _has_token_body(provider: Provider | None) -> bool:
    signature = provider.scheme.signature if provider and provider.scheme.kind == "jwt" else None
    return signature is not None and signature.place.partition("|")[0] == "body"


def _provider(config: JsonObject) -> Provider | None:
    try:
        return provider(config["provider"], config["config"])
    except ValueError:
        # Commands validate configurations; with one that an older version accepted, deliveries are refused, not failed.
        logger.exception("webhook_config_unusable", extra={"webhook_id": config["id"]})
        return None


def gone(closed: Closed) -> GoneError:
    """The refusal of a delivery that has verified: 410."""
    return GoneError() if closed == "paused" else GoneError("This webhook's workflow is not published.")
