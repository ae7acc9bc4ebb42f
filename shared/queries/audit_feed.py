"""What has happened in this tenant?"""

from __future__ import annotations

from dataclasses import dataclass

from shared.json_types import JsonObject
from shared.queries.event_view import described
from shared.queries.response_size import fitting
from shared.repositories.event_store import EventStoreRepository


@dataclass(frozen=True, slots=True)
class Feed:
    """Events in order; `position` is where to continue, also without events; `more`: there are more already."""

    items: list[JsonObject]
    position: int
    more: bool


async def audit_feed(
    events: EventStoreRepository,
    tenant_id: str,
    after: int,
    limit: int,
    event_type: str | None = None,
    stream_id: str | None = None,
) -> Feed:
    """The tenant's events after sequence number `after`, of one type or stream where given; none is ever skipped."""
    recorded, position, more = await events.read_feed(tenant_id, after, limit, event_type, stream_id)
    items = fitting([described(event) for event in recorded])
    if len(items) < len(recorded):
        # After the last one that fits, not where the store's page ends: that would skip the others.
        return Feed(items, items[-1]["sequence_number"], more=True)
    return Feed(items, position, more)
