"""The shapes of answers under /api/events."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.http.views.executions import EventPage


class FeedPage(EventPage):
    """A page of the audit feed."""

    position: Annotated[int, Field(description="The next `after`, also where nothing has happened yet.")]
