"""The way around Redis: a delivery that cannot be queued is written to Supabase as a run that is due at once."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.delivery import ledger_row, queued
from shared.events.codec import new_event
from shared.ids import new_id
from shared.queue.job import ExecutionJob
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.run_append import first_append


@dataclass(frozen=True, slots=True)
class Spilled:
    """What became of a spilled delivery, in the terms of the queue's receipt."""

    delivery_id: str
    duplicate: bool
    mismatch: bool


async def spill(events: EventStoreRepository, job: ExecutionJob) -> Spilled:
    """The receipt of a delivery that the drain's sweep will find. `StorageUnavailableError` when Supabase is out of
    reach too."""
    assert job.delivery is not None, "intake makes jobs of deliveries"
    delivery = job.delivery
    fact = queued(delivery)
    metadata = {"actor": f"webhook:{delivery['webhook_id']}", **job.cause.metadata()}
    event = new_event(new_id(), fact, delivery["received_at"], metadata)
    line = ledger_row(delivery, job.tenant_id, job.execution_id)
    # Nobody is told of it: it is the sweep's at once.
    append = first_append(job.tenant_id, job.execution_id, [event], deliveries=(line,), due_in_seconds=0.0)
    (appended,) = await events.append([append])
    if appended.status != "conflict":
        return Spilled(delivery["delivery_id"], duplicate=False, mismatch=False)
    first = (await events.read_stream(job.tenant_id, job.execution_id, limit=1))[0].payload["trigger"]
    same = first["body"] == fact.trigger["body"]
    # Its own id means that the queue took it after all and answered too late: it has even begun to run.
    repeated = first["delivery_id"] == delivery["delivery_id"]
    return Spilled(first["delivery_id"], duplicate=same and not repeated, mismatch=not same)
