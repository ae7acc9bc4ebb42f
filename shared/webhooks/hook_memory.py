"""What this process remembers of webhooks: those that exist and those that do not, apart and each bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from shared.webhooks.hooks import Hook

MAX_HOOKS = 1000
# Ids that nobody has: anybody can make them up, so they have a place of their own and push no webhook out.
MAX_UNKNOWN = 200


class Remembered(NamedTuple):
    """A webhook, or `None` for none such; `until` is the monotonic time up to which it is believed unasked."""

    until: float
    hook: Hook | None

    @property
    def is_fresh(self) -> bool:
        """Whether nobody need be asked."""
        return time.monotonic() < self.until


class HookMemory:
    """The webhooks that were used last."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._hooks: OrderedDict[str, Remembered] = OrderedDict()
        self._unknown: OrderedDict[str, Remembered] = OrderedDict()

    def find(self, webhook_id: str) -> Remembered | None:
        """What is remembered of it, however old; `None` for nothing."""
        for kept in (self._hooks, self._unknown):
            if (found := kept.get(webhook_id)) is not None:
                kept.move_to_end(webhook_id)
                return found
        return None

    def keep(self, webhook_id: str, hook: Hook | None, seconds: float) -> None:
        """Remembers the webhook and believes it for so long. The one that was used longest ago makes room."""
        self.forget(webhook_id)
        kept, most = (self._unknown, MAX_UNKNOWN) if hook is None else (self._hooks, MAX_HOOKS)
        kept[webhook_id] = Remembered(time.monotonic() + seconds, hook)
        if len(kept) > most:
            kept.popitem(last=False)

    def forget(self, webhook_id: str) -> None:
        """Remembers nothing of it."""
        self._hooks.pop(webhook_id, None)
        self._unknown.pop(webhook_id, None)
