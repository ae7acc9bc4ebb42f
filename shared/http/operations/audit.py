"""/api/events"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.model import Uuid
from shared.http.operation import Answer, Operation
from shared.http.operations.executions import EventPage
from shared.http.query import PageQuery, Position


class FeedPage(EventPage):
    """A page of the audit feed."""

    position: Annotated[int, Field(description="The next `after`, also where nothing has happened yet.")]


class AuditFeed(PageQuery):
    """Which events."""

    after: Annotated[Position, Field(description="A sequence number: events after it. A cursor goes before it.")] = 0
    type: Annotated[str | None, Field(min_length=1, max_length=100, description="The events' type.")] = None
    stream_id: Annotated[Uuid | None, Field(description="The workflow, webhook, API key or run.")] = None


AUDIT_FEED = Operation(
    id="audit_feed",
    method="GET",
    path="/api/events",
    summary="Read the audit feed",
    description="Everything that has happened in the tenant, in order, missing nothing.",
    tag="Events",
    role="viewer",
    scope="events:read",
    query=AuditFeed,
    answers={200: Answer("A page of events", FeedPage)},
)
OPERATIONS = (AUDIT_FEED,)
