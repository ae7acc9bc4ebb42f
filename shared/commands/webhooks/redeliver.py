"""Run a delivery of the delivery log again."""

from __future__ import annotations

from pydantic import Field

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.enqueue_resume import enqueue_resume
from shared.commands.webhooks.redelivery import has_verified, published_webhook, redelivery
from shared.domain.actor import Actor
from shared.errors import NotFoundError, Problem, UnprocessableError
from shared.json_types import JsonObject


class Redeliver(Command):
    """How a delivery is run again."""

    include_unverified: bool = Field(
        False, description="Run it although it did not verify; its run's trigger then has `verified: false`."
    )


async def redeliver(
    services: Services,
    actor: Actor,
    webhook_id: str,
    delivery_id: str,
    idempotency_key: str | None = None,
    *,
    include_unverified: bool = False,
) -> JsonObject:
    """`{execution_id, delivery_id}` of a new run with the same body, headers and query; under one key, one run.

    Raises `NotFoundError`; `UnprocessableError` where its body was not kept, or where it did not verify and
    `include_unverified` is not set; `NotPublishedError` where the workflow is not published. The caller answers for
    running an unverified delivery: the event feed names the caller, and the run's trigger has `verified: false`.
    """
    webhook = await published_webhook(services, actor, webhook_id)
    row = await services.webhooks.delivery(actor.tenant_id, webhook_id, delivery_id)
    if row is None:
        raise NotFoundError("There is no such delivery.")
    if not (include_unverified or has_verified(row)):
        message = "This delivery did not verify: anybody may have sent it."
        suggestion = "Set include_unverified to true to run it all the same."
        raise UnprocessableError(message, problems=(Problem("/include_unverified", message, suggestion),))
    run = await redelivery(services, actor, webhook, row, idempotency_key)
    if run is None:
        raise UnprocessableError("The body of this delivery was not kept.")
    await services.events.append([run.append])
    await enqueue_resume(services, actor.tenant_id, run.execution_id)
    return {"execution_id": run.execution_id, "delivery_id": run.delivery_id}
