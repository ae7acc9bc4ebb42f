"""Run a delivery of the ledger again."""

from __future__ import annotations

from typing import Any

from shared.commands._hint import hint
from shared.commands._redelivery import published_webhook, redelivery
from shared.commands.services import Services
from shared.domain.actor import Actor
from shared.errors import NotFoundError, UnprocessableError


async def redeliver(
    services: Services, actor: Actor, webhook_id: str, delivery_id: str, idempotency_key: str | None = None
) -> dict[str, Any]:
    """`{execution_id, delivery_id}` of a new run with the same body, headers and query; under one key, one run.

    `NotFoundError` for no such delivery; `UnprocessableError` where its body was not kept, and `NotPublishedError`
    where nothing would run it. What was refused is run as it is: whoever may write webhooks takes that upon himself,
    and the event feed says who.
    """
    webhook = await published_webhook(services, actor, webhook_id)
    row = await services.webhooks.delivery(actor.tenant_id, webhook_id, delivery_id)
    if row is None:
        raise NotFoundError("There is no such delivery.")
    found = await redelivery(services, actor, webhook, row, idempotency_key)
    if found is None:
        raise UnprocessableError("The body of this delivery was not kept.")
    await services.events.append([found.append])
    await hint(services, actor.tenant_id, found.execution_id)
    return {"execution_id": found.execution_id, "delivery_id": found.delivery_id}
