"""Makes events of facts: an id for each, one timestamp, and who caused them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shared.domain.actor import Actor
from shared.domain.timestamps import timestamp
from shared.events.codec import new_event
from shared.events.envelope import NewEvent
from shared.ids import new_id
from shared.tracing import CorrelationContext, current_context

if TYPE_CHECKING:
    from shared.events.facts import Fact


def now() -> str:
    """The present time as a timestamp."""
    return timestamp(time.time())


def new_events(actor: Actor, happened_at: str, *facts: Fact) -> tuple[NewEvent, ...]:
    """The events of facts that `actor` caused at `happened_at`, with the request's correlation id in their metadata."""
    context = current_context() or CorrelationContext(new_id())
    metadata = {"actor": actor.name, **context.metadata()}
    return tuple(new_event(new_id(), fact, happened_at, metadata) for fact in facts)
