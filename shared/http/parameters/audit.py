"""Query parameters under /api/events."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.command import Uuid
from shared.http.parameters.common import PageQuery, Position


class AuditFeed(PageQuery):
    """Which events."""

    after: Annotated[Position, Field(description="A sequence number: events after it. A cursor goes before it.")] = 0
    type: Annotated[str | None, Field(min_length=1, max_length=100, description="The events' type.")] = None
    stream_id: Annotated[Uuid | None, Field(description="The workflow, webhook, API key or run.")] = None
