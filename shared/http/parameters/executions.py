"""Query parameters under /api/executions, and /api/workflows/{id}/execute."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.commands.command import Moment, Uuid
from shared.http.parameters.common import PageQuery, Position, Query, WholeNumber

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]
MAX_POLL_SECONDS = 20


class ListExecutions(PageQuery):
    """Which runs."""

    workflow_id: Uuid | None = None
    parent_id: Annotated[Uuid | None, Field(description="Its child runs, and its error workflow's run.")] = None
    status: Status | None = None
    since: Annotated[Moment | None, Field(description="Created then or later.")] = None
    until: Annotated[Moment | None, Field(description="Created before.")] = None


class GetExecution(Query):
    """As it was when."""

    at: Annotated[Position | None, Field(description="After the event with this sequence number; unset: now.")] = None


class ListExecutionEvents(PageQuery):
    """Which events."""

    after: Annotated[Position, Field(description="A stream version: events after it. A cursor goes before it.")] = 0
    wait: Annotated[
        WholeNumber, Field(ge=0, le=MAX_POLL_SECONDS, description="Seconds to wait for an event where there is none.")
    ] = 0
