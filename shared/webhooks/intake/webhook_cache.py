"""The webhook behind a delivery's URL: from this process's memory, else from Redis, else from Supabase."""

from __future__ import annotations

import logging
import time
from typing import Literal, NamedTuple

from shared.bootstrap import Services
from shared.domain.timestamps import unix_seconds
from shared.domain.webhook.intake_config import intake_config
from shared.domain.webhook.provider_rules import secret_context
from shared.errors import GoneError, QueueError, QueueUnavailableError, StorageUnavailableError, UnavailableError
from shared.json_types import JsonMapping, JsonObject
from shared.platform.deadline import within
from shared.platform.lru_cache import LruCache
from shared.queue.cache import RememberedWebhook
from shared.queue.connection import CircuitBreaker
from shared.webhooks.acceptance import STORED, WAIT
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
# What would not take a delivery may be about to: a webhook is often tried the moment it is made or published.
REFUSAL_MEMORY_SECONDS = 1.0
# How many webhooks a process remembers.
MAX_WEBHOOKS = 1000
# Ids that nobody has: anybody can make them up, so they have a cache of their own and push no webhook out.
MAX_UNKNOWN = 200


class CachedWebhook(NamedTuple):
    """A webhook as intake needs it, with its secrets decrypted.

    `provider` is unset where the configuration is invalid; `secrets` are (text, Unix time at which it expires or
    `None`); `awaits_secret`: no delivery is taken before there is one. `is_stored`: a delivery is in Supabase before it
    is answered; `answers_with_run`: it is answered with what its run responds. `secret_headers` and `secret_parameters`
    (of the query) are where the provider sends the secret itself; `body_is_token`: its body is a JSON Web Token.
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

    def usable_secrets(self, now: float) -> list[str]:
        """The secrets that have not expired at Unix time `now`."""
        return [secret for secret, expires_at in self.secrets if expires_at is None or now < expires_at]


class RememberedHook(NamedTuple):
    """A webhook, or `None` for an id that nobody has; `until` is the monotonic time up to which it is fresh."""

    until: float
    hook: CachedWebhook | None

    @property
    def is_fresh(self) -> bool:
        """Whether nobody need be asked."""
        return time.monotonic() < self.until


class ProcessCache:
    """The webhooks that this process has used last, and apart from them the ids that nobody has; both bounded."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._hooks: LruCache[str, RememberedHook] = LruCache(MAX_WEBHOOKS)
        self._unknown: LruCache[str, RememberedHook] = LruCache(MAX_UNKNOWN)

    def find(self, webhook_id: str) -> RememberedHook | None:
        """What is remembered of it, however old; `None` for nothing."""
        return self._hooks.get(webhook_id) or self._unknown.get(webhook_id)

    def keep(self, webhook_id: str, hook: CachedWebhook | None, seconds: float) -> None:
        """Remembers the webhook, fresh for so many seconds. The least recently used one makes room."""
        self.forget(webhook_id)
        cache = self._unknown if hook is None else self._hooks
        cache.put(webhook_id, RememberedHook(time.monotonic() + seconds, hook))

    def forget(self, webhook_id: str) -> None:
        """Remembers nothing of it."""
        self._hooks.take(webhook_id)
        self._unknown.take(webhook_id)


class WebhookCache:
    """Finds webhooks. One per process."""

    def __init__(self, services: Services, circuit: CircuitBreaker) -> None:
        """Uses the process's services; Redis and Supabase are connected when first needed. `circuit` is the process's
        way around a Redis that has failed."""
        self._services, self._circuit = services, circuit
        self._memory = ProcessCache()

    async def find(self, webhook_id: str) -> CachedWebhook | None:
        """The webhook; `None` when there is none.

        While Supabase cannot be asked, or takes longer than its deadline, the last one known: this process's, for as
        long as it lives, or Redis's, for a day after it was last confirmed. `StorageUnavailableError` where none is.
        """
        remembered = self._memory.find(webhook_id)
        if remembered is not None and remembered.is_fresh:
            return remembered.hook
        stale = None if remembered is None else remembered.hook
        try:
            config = await self._ask(webhook_id, SHORT_SECONDS if stale is not None else LONG_SECONDS)
            hook = None if config is None else await _open(config)
        except UnavailableError:
            if stale is None:
                raise
            # Not every delivery of an outage waits for the deadline.
            self._memory.keep(webhook_id, stale, MEMORY_SECONDS)
            return stale
        takes = hook is not None and hook.is_active and hook.is_published and not hook.awaits_secret
        self._memory.keep(webhook_id, hook, MEMORY_SECONDS if takes else REFUSAL_MEMORY_SECONDS)
        return hook

    def forget(self, webhook_id: str) -> None:
        """The webhook has just changed: the next delivery asks again."""
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
                seen = await self._ask_redis(webhook_id)  # it may be back: it is all that is left
            if seen is None or not seen.is_known:
                raise
            return seen.config
        config = intake_config(row) if row else None
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


async def _open(config: JsonObject) -> CachedWebhook:
    """The webhook with its secrets decrypted."""
    secrets: list[tuple[str, float | None]] = []
    if config["secrets"]:
        from shared.aws.secrets import decrypt  # brings `cryptography`, which only a webhook not in memory needs

        context = secret_context(config["tenant_id"], config["id"])
        for item in config["secrets"]:
            expires_at = unix_seconds(item["expires_at"]) if item["expires_at"] else None
            secrets.append((await decrypt(item["secret"], context), expires_at))
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
        # Commands check configurations; one that an older version let pass must refuse, not fail.
        logger.exception("webhook_config_unusable", extra={"webhook_id": config["id"]})
        return None


def gone(closed: Closed) -> GoneError:
    """What the sender is told, once something has verified."""
    return GoneError() if closed == "paused" else GoneError("This webhook's workflow is not published.")
