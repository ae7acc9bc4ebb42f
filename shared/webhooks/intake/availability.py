"""Webhooks that take no delivery just now, be it as right as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shared.errors import GoneError

if TYPE_CHECKING:
    from shared.webhooks.intake.webhook_cache import CachedWebhook

# Verdicts of the delivery log.
Closed = Literal["paused", "unpublished"]


def closed_by(hook: CachedWebhook) -> Closed | None:
    """Why the webhook takes nothing; `None` where it does. One that holds its deliveries takes them in any case."""
    if not hook.is_active:
        return "paused"
    return None if hook.is_published or hook.is_holding else "unpublished"


def gone(closed: Closed) -> GoneError:
    """What the sender is told, once something has verified."""
    return GoneError() if closed == "paused" else GoneError("This webhook's workflow is not published.")
