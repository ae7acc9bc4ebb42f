"""Run many deliveries of the delivery log again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from shared.bootstrap import Services
from shared.commands.command import Command, Moment
from shared.commands.enqueue_resume import enqueue_resume
from shared.commands.webhooks.redelivery import Redelivery, has_verified, published_webhook, redelivery
from shared.domain.actor import Actor
from shared.domain.webhook.delivery_log import Verdict
from shared.json_types import JsonObject
from shared.repositories.rows import Keyset

MAX_REDELIVERED = 100
# How many are read at once, and how many bytes of bodies one call stores: each may have megabytes.
READ_AT_ONCE = 10
STORED_BYTES = 2_000_000


class RedeliverMany(Command):
    """Which deliveries are run again: those that match all given filters. Redeliveries are never among them."""

    verdict: Verdict = Field("accepted", description="Their outcome.")
    since: Moment | None = Field(None, description="Received then or later.")
    until: Moment | None = Field(None, description="Received before.")
    event_type: str | None = Field(None, min_length=1, max_length=200, description="Of this type exactly.")
    include_unverified: bool = Field(
        False, description="Also those that did not verify; their runs' triggers then have `verified: false`."
    )
    limit: int = Field(50, ge=1, le=MAX_REDELIVERED, description="How many to look at in this call.")
    cursor: str | None = Field(None, description="The `next_cursor` of the call before.")


async def redeliver_many(
    services: Services,
    actor: Actor,
    webhook_id: str,
    command: RedeliverMany,
    before: Keyset | None,
    idempotency_key: str | None = None,
) -> tuple[JsonObject, Keyset | None]:
    """`{redelivered, skipped, unverified, items: [{redelivery_of, execution_id, delivery_id}]}` of this call, newest
    first, and the keyset for the next call, unset when there are no more.

    `before` is the keyset that the previous call returned. Under one key each delivery gets one run, however often the
    request is repeated. `skipped` counts deliveries whose body was not kept, `unverified` those left out because they
    did not verify.
    """
    webhook = await published_webhook(services, actor, webhook_id)
    # One more than asked for, to learn whether there are more.
    rows = await services.webhooks.deliveries(
        actor.tenant_id,
        webhook_id,
        command.limit + 1,
        before,
        command.verdict,
        since=command.since,
        until=command.until,
        event_type=command.event_type,
        redeliveries=False,
    )
    rows, following = rows[: command.limit], rows[command.limit :]
    proven = rows if command.include_unverified else [row for row in rows if has_verified(row)]
    items: list[dict[str, str]] = []
    for place in range(0, len(proven), READ_AT_ONCE):
        batch = proven[place : place + READ_AT_ONCE]
        runs = await asyncio.gather(*(redelivery(services, actor, webhook, row, idempotency_key) for row in batch))
        # Stored batch by batch, so that only one batch's bodies are in memory.
        await _store(services, [run for run in runs if run is not None])
        items += [
            {"redelivery_of": row["id"], "execution_id": run.execution_id, "delivery_id": run.delivery_id}
            for row, run in zip(batch, runs, strict=True)
            if run is not None
        ]
    # Once, after all batches. Where a later one fails, the runs of earlier ones are stored and not enqueued: the sweep
    # finds them by their rows.
    await enqueue_resume(services, actor.tenant_id, *(item["execution_id"] for item in items))
    unverified = len(rows) - len(proven)
    answer = {"redelivered": len(items), "skipped": len(proven) - len(items), "unverified": unverified, "items": items}
    return answer, Keyset(rows[-1]["received_at"], rows[-1]["id"]) if following else None


async def _store(services: Services, redeliveries: Sequence[Redelivery]) -> None:
    """Appends all of them, in as few calls as their sizes allow; those that are stored already stay as they are."""
    batch: list[Redelivery] = []
    for run in redeliveries:
        if batch and sum(stored.size_bytes for stored in batch) + run.size_bytes > STORED_BYTES:
            await services.events.append([stored.append for stored in batch])
            batch = []
        batch.append(run)
    if batch:
        await services.events.append([stored.append for stored in batch])
