"""Stores a delivery in Supabase as a run: where Redis does not take it, or where Redis alone must not have it.

The run is due at once, and a drain's sweep finds it; a held one becomes due when its webhook is active again.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.webhook.delivery import entry_of_run, queued
from shared.errors import ThrottledError
from shared.events.codec import new_event
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from shared.repositories.append import Append, Appended
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.run_append import first_append

# A webhook may hold so many deliveries, and so many bytes as they were sent.
MAX_HELD = 10_000
MAX_HELD_BYTES = 64_000_000
# Never: the release sets the real time.
HELD_UNTIL = "9999-01-01T00:00:00.000000Z"
FULL_RETRY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What became of the delivery, as the queue's `Receipt` says it."""

    delivery_id: str
    duplicate: bool
    mismatch: bool


async def store_run(events: EventStoreRepository, job: ExecutionJob, due_in_seconds: float = 0.0) -> StoredRun:
    """Stores the delivery as a run that is due in so many seconds: at once, unless the queue has its job too.
    `StorageUnavailableError` when Supabase is out of reach."""
    append, trigger = _first(job, "accepted", due_in_seconds)
    # The stream's first append: a conflict means that the run exists, so the delivery came before.
    (appended,) = await events.append([append])
    return await _outcome(events, job, trigger, appended)


async def hold(events: EventStoreRepository, webhook_id: str, job: ExecutionJob) -> StoredRun | str:
    """Stores the delivery as a run that is due when its webhook is active again; the webhook's present status where it
    does not hold deliveries any more. `ThrottledError` where it holds as many as it may."""
    append, trigger = _first(job, "held")
    append = append._replace(row={**(append.row or {}), "wake_at": HELD_UNTIL})
    size = job.delivered["size_bytes"]
    status, appended = await events.hold(append, webhook_id, size, MAX_HELD, MAX_HELD_BYTES)
    if status == "full":
        raise ThrottledError("This webhook holds as many deliveries as it may.", retry_after_seconds=FULL_RETRY_SECONDS)
    return status if appended is None else await _outcome(events, job, trigger, appended)


def _first(job: ExecutionJob, verdict: str, due_in_seconds: float = 0.0) -> tuple[Append, JsonObject]:
    """The append of the run's first event with its entry of the delivery log, and the run's trigger."""
    delivery, fact = job.delivered, queued(job.delivered)
    metadata = {"actor": f"webhook:{delivery['webhook_id']}", **job.cause.metadata()}
    event = new_event(new_id(), fact, delivery["received_at"], metadata)
    lines = (entry_of_run(delivery, job.tenant_id, job.execution_id, verdict),)
    return first_append(job.tenant_id, job.execution_id, [event], lines, due_in_seconds=due_in_seconds), fact.trigger


async def _outcome(
    events: EventStoreRepository, job: ExecutionJob, trigger: JsonObject, appended: Appended
) -> StoredRun:
    delivery_id = job.delivered["delivery_id"]
    if appended.status != "conflict":
        return StoredRun(delivery_id, duplicate=False, mismatch=False)
    first = (await events.read_stream(job.tenant_id, job.execution_id, limit=1))[0].payload["trigger"]
    same = first["body"] == trigger["body"]
    # Its own id: the queue took it after all, though its answer came too late, and its run has begun.
    repeated = first["delivery_id"] == delivery_id
    return StoredRun(first["delivery_id"], duplicate=same and not repeated, mismatch=not same)
