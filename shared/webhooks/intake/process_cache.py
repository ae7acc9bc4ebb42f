"""What this process remembers of webhooks: those that exist and those that do not, apart and each bounded."""

from __future__ import annotations

import time
from typing import Generic, NamedTuple, TypeVar

from shared.platform.lru_cache import LruCache

Webhook = TypeVar("Webhook")

MAX_WEBHOOKS = 1000
# Ids that nobody has: anybody can make them up, so they have a place of their own and push no webhook out.
MAX_UNKNOWN = 200


class Remembered(NamedTuple, Generic[Webhook]):
    """A webhook, or `None` for none such; `until` is the monotonic time up to which it is believed unasked."""

    until: float
    hook: Webhook | None

    @property
    def is_fresh(self) -> bool:
        """Whether nobody need be asked."""
        return time.monotonic() < self.until


class ProcessCache(Generic[Webhook]):
    """The webhooks that were used last."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._hooks: LruCache[str, Remembered[Webhook]] = LruCache(MAX_WEBHOOKS)
        self._unknown: LruCache[str, Remembered[Webhook]] = LruCache(MAX_UNKNOWN)

    def find(self, webhook_id: str) -> Remembered[Webhook] | None:
        """What is remembered of it, however old; `None` for nothing."""
        return self._hooks.get(webhook_id) or self._unknown.get(webhook_id)

    def keep(self, webhook_id: str, hook: Webhook | None, seconds: float) -> None:
        """Remembers the webhook and believes it for so long. The one that was used longest ago makes room."""
        self.forget(webhook_id)
        kept = self._unknown if hook is None else self._hooks
        kept.put(webhook_id, Remembered(time.monotonic() + seconds, hook))

    def forget(self, webhook_id: str) -> None:
        """Remembers nothing of it."""
        self._hooks.take(webhook_id)
        self._unknown.take(webhook_id)
