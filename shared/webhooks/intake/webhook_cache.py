"""The webhook behind a delivery's URL: from this process's memory, else from Redis, else from Supabase."""

from __future__ import annotations

import logging
from typing import Literal, NamedTuple

from shared.bootstrap import Services
from shared.domain.timestamps import unix_seconds
from shared.domain.webhook.intake_config import intake_config
from shared.domain.webhook.provider_rules import secret_context
from shared.errors import GoneError, QueueError, QueueUnavailableError, StorageUnavailableError, UnavailableError
from shared.json_types import JsonMapping, JsonObject
from shared.platform.deadline import within
from shared.queue.cache import RememberedWebhook
from shared.webhooks.intake.circuit_breaker import LONG_SECONDS, SHORT_SECONDS, CircuitBreaker
from shared.webhooks.intake.process_cache import ProcessCache
from shared.webhooks.providers.catalog import provider
from shared.webhooks.providers.provider import Provider

# Verdicts of the delivery log.
Closed = Literal["paused", "unpublished"]

logger = logging.getLogger(__name__)

# A change must take effect within 10 seconds, in every process.
MEMORY_SECONDS = 5.0
# What would not take a delivery may be about to: a webhook is often tried the moment it is made or published.
REFUSAL_MEMORY_SECONDS = 1.0


class CachedWebhook(NamedTuple):
    """A webhook as intake needs it, its secrets readable. `provider` is unset where its configuration makes no sense;
    `secrets` are (text, Unix time at which it expires or `None`); `awaits_secret`: no delivery is taken before there is
    one."""

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

    @property
    def secret_headers(self) -> frozenset[str]:
        """The headers in which the provider sends the secret itself."""
        return self._places("header:")

    @property
    def secret_parameters(self) -> frozenset[str]:
        """The query parameters in which it does."""
        return self._places("query:")

    @property
    def body_is_token(self) -> bool:
        """Whether the provider's body is a JSON Web Token."""
        signature = self.provider.scheme.signature if self.provider and self.provider.scheme.kind == "jwt" else None
        return signature is not None and signature.place.partition("|")[0] == "body"

    def _places(self, kind: str) -> frozenset[str]:
        if self.provider is None or self.provider.scheme.kind not in ("token", "basic", "jwt"):
            return frozenset()
        places = self.provider.scheme.signature.places if self.provider.scheme.signature else ()
        found = (place.partition("|")[0] for place in places if place.startswith(kind))
        return frozenset(name.lower() if kind == "header:" else name for name in (f[len(kind) :] for f in found))

    def usable_secrets(self, now: float) -> list[str]:
        """The secrets that have not expired at Unix time `now`."""
        return [secret for secret, expires_at in self.secrets if expires_at is None or now < expires_at]


class WebhookCache:
    """Finds webhooks. One per process."""

    def __init__(self, services: Services, circuit: CircuitBreaker) -> None:
        """Uses the process's services; Redis and Supabase are connected when first needed. `circuit` is the process's
        way around a Redis that has failed."""
        self._services, self._circuit = services, circuit
        self._memory: ProcessCache[CachedWebhook] = ProcessCache()

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
            self._circuit.begin(error)
            return None


async def _open(config: JsonObject) -> CachedWebhook:
    """The webhook with its secrets decrypted."""
    secrets: list[tuple[str, float | None]] = []
    if config["secrets"]:
        from shared.aws.secrets import decrypt  # brings `cryptography`, which only a webhook not in memory needs

        context = secret_context(config["tenant_id"], config["id"])
        for each in config["secrets"]:
            expires_at = unix_seconds(each["expires_at"]) if each["expires_at"] else None
            secrets.append((await decrypt(each["secret"], context), expires_at))
    return CachedWebhook(
        id=config["id"],
        tenant_id=config["tenant_id"],
        workflow_id=config["workflow_id"],
        node_id=config["node_id"],
        provider_id=config["provider"],
        provider=_provider(config),
        config=config["config"],
        is_active=config["status"] != "paused",
        is_holding=config["status"] == "holding",
        awaits_secret=config["status"] == "awaiting_secret",
        is_published=bool(config["published"]),
        secrets=tuple(secrets),
    )


def _provider(config: JsonObject) -> Provider | None:
    try:
        return provider(config["provider"], config["config"])
    except ValueError:
        # Commands check configurations; one that an older version let pass must refuse, not fail.
        logger.exception("webhook_config_unusable", extra={"webhook_id": config["id"]})
        return None


def closed_by(hook: CachedWebhook) -> Closed | None:
    """Why the webhook takes nothing; `None` where it does. One that holds its deliveries takes them in any case."""
    if not hook.is_active:
        return "paused"
    return None if hook.is_published or hook.is_holding else "unpublished"


def gone(closed: Closed) -> GoneError:
    """What the sender is told, once something has verified."""
    return GoneError() if closed == "paused" else GoneError("This webhook's workflow is not published.")
