"""Query parameters under /api/webhooks and /api/webhook-providers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.commands.command import Moment, Uuid
from shared.domain.webhook.delivery_log import Verdict
from shared.http.parameters.common import PageQuery


class ListWebhooks(PageQuery):
    """Which webhooks."""

    workflow_id: Uuid | None = None


class ListDeliveries(PageQuery):
    """Which deliveries."""

    verdict: Verdict | None = None
    since: Annotated[Moment | None, Field(description="Received then or later.")] = None
    until: Annotated[Moment | None, Field(description="Received before.")] = None
    event_type: Annotated[str | None, Field(description="Of this type exactly.", min_length=1, max_length=200)] = None
