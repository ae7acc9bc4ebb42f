"""Adds jobs to the queue: for intake and the API, which start fast because they do without BullMQ's package.

What they need of it are one of its scripts and the form of that script's arguments; importing the package would take a
tenth of intake's cold start. Everything else about the queue is in `consumer`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
from redis.asyncio import Redis

from shared.ids import is_uuid
from shared.queue.connection import in_time
from shared.queue.job import JOB_NAME, ExecutionJob, parse_job
from shared.queue.keys import OwnKeys
from shared.queue.scripts import ScriptRunner, own_script
from shared.settings import Settings

# A finished job leaves nothing behind: history is in the event store, and an id must be free for the run's next job.
REMOVED = {"removeOnComplete": True, "removeOnFail": True}
# An answer to a provider must not wait for a Redis that does not answer.
ACCEPT_TIMEOUT_SECONDS = 1.5
# How long the mark of a signalled run lives: longer than a drain needs to acknowledge the run's job.
AGAIN_SECONDS = 60
# The keys of BullMQ's script, in its order.
_ADD_KEYS = ("wait", "paused", "meta", "id", "completed", "delayed", "active", "events", "marker")


class Limit(NamedTuple):
    """A rate limit: a token bucket of this name, which gains `per_second` tokens and holds `burst`."""

    name: str
    per_second: float
    burst: int


class Receipt(NamedTuple):
    """What became of a delivery.

    `duplicate`: it was accepted before, as `delivery_id`. `mismatch`: another body was, under the same idempotency key.
    `retry_after_seconds`: a limit is reached, and when to try again. `unpublished`: the workflow has no published
    version any more, which the caller's cached webhook does not say yet. In these cases nothing was added.
    `live_drain`: a drain is live and will claim the job. `job_is_gone`: the first delivery's job is no longer in the
    queue, whether a run came of it or not."""

    delivery_id: str
    duplicate: bool
    mismatch: bool
    live_drain: bool
    retry_after_seconds: float | None = None
    job_is_gone: bool = False
    unpublished: bool = False


class JobProducer:
    """Adds jobs. Every method raises `QueueUnavailableError` while Redis cannot be reached."""

    def __init__(self, client: Redis, scripts: ScriptRunner, keys: OwnKeys, settings: Settings) -> None:
        """Adds through the process's `scripts` to the queue that the settings name; `keys` are ours beside it."""
        self._client, self._scripts, self._keys = client, scripts, keys
        self._admit_script = own_script("deduplicate_and_add")
        self._delivery_memory_seconds = settings.delivery_memory_seconds
        self._base = f"{settings.queue_prefix}:{settings.queue_name}"
        self._add_keys = [f"{self._base}:{name}" for name in _ADD_KEYS]

    async def enqueue(self, jobs: Sequence[ExecutionJob], signalled: bool = False) -> bool:
        """Whether a live drain is there to take the jobs. A job whose execution has one in the queue is not added.

        `signalled`: something has happened that the executions wait for, a signal or a child's end. A drain that runs
        one of them now may have read its events just before, so a mark is left for it: `JobConsumer.was_signalled`.
        """
        if not jobs:
            return True
        marks = [self._keys.signalled(job.execution_id) if signalled else "" for job in jobs]
        async with in_time():
            answers = await asyncio.gather(*(self._admit(job, mark, "") for job, mark in zip(jobs, marks, strict=True)))
        return bool(answers[-1][1])

    async def accept(
        self, job: ExecutionJob, fingerprint: str, limits: Sequence[Limit] = (), put_back: bool = False
    ) -> Receipt:
        """The receipt of a delivery: deduplicated, limited, added, and a live drain looked for, in one round trip.

        `fingerprint` (no spaces) says which bytes were delivered. A call that the client repeats is recognised by its
        delivery id, and is no duplicate. `put_back`: the delivery is the one that was accepted before, and is added
        again where its job is gone.
        """
        delivery_id = job.delivered["delivery_id"]
        claim = f"{fingerprint} {delivery_id}"
        async with in_time(ACCEPT_TIMEOUT_SECONDS):
            key = self._keys.delivery(job.execution_id)
            taken, live, place = await self._admit(job, key, claim, limits, put_back=put_back)
        if place == "unpublished":
            return Receipt(delivery_id, False, False, live_drain=True, unpublished=True)
        if live < 0:
            return Receipt(delivery_id, False, False, live_drain=True, retry_after_seconds=-live / 1000)
        if not taken or taken == claim:
            return Receipt(delivery_id, duplicate=False, mismatch=False, live_drain=live > 0)
        first_fingerprint, _, first_delivery_id = taken.partition(" ")
        same = first_fingerprint == fingerprint
        return Receipt(
            first_delivery_id, duplicate=same, mismatch=not same, live_drain=live > 0, job_is_gone=place == "gone"
        )

    async def throttle(self, limits: Sequence[Limit]) -> float | None:
        """In how many seconds a delivery that does not go through the queue may come again, since a limit is reached;
        `None` where it may come now and has been counted."""
        if not limits:
            return None
        keys = [self._keys.bucket(limit.name) for limit in limits]
        async with in_time(ACCEPT_TIMEOUT_SECONDS):
            wait = await self._scripts.call(own_script("throttle"), keys, _buckets(limits))
        return wait / 1000 if wait else None

    def _admit(
        self, job: ExecutionJob, key: str, claim: str, limits: Sequence[Limit] = (), put_back: bool = False
    ) -> asyncio.Future[Any]:
        now, buckets = time.time_ns() // 1_000_000, _buckets(limits)
        bucket_keys = [self._keys.bucket(limit.name) for limit in limits]
        arguments = self._packed(job, now)
        none, workflow_id = self._keys.drains, job.delivery.get("workflow_id") if job.delivery is not None else None
        published = self._keys.published(workflow_id) if workflow_id else none
        keys = [*self._add_keys, key or none, none, f"{self._base}:{job.execution_id}", published, *bucket_keys]
        lifetime = self._delivery_memory_seconds if claim else AGAIN_SECONDS
        more = [now, claim, lifetime, "1" if put_back else "", *buckets]
        return self._scripts.call(self._admit_script, keys, [*arguments, *more])

    async def peek(self, execution_id: str) -> ExecutionJob | None:
        """The job of this execution that is in the queue, in whatever state; `None` when there is none."""
        async with in_time():
            fields: Any = await self._client.hgetall(f"{self._base}:{execution_id}")
        return parse_job(execution_id, fields)[0] if fields else None

    def _packed(self, job: ExecutionJob, now: int) -> list[Any]:
        """The arguments of BullMQ's `addStandardJob` but the last, as its `Scripts.addJobArgs` packs them."""
        place = [f"{self._base}:", job.execution_id, JOB_NAME, now, None, None, None, None, None]
        data = json.dumps(job.data(), separators=(",", ":"), allow_nan=False)
        if not is_uuid(job.execution_id):
            raise ValueError(f"A job's id must be a UUID, not {job.execution_id!r}: BullMQ counts with other ids.")
        options = {**REMOVED, "attempts": 1, "jobId": job.execution_id}
        return [msgpack.packb(place, use_bin_type=True), data, msgpack.packb(options)]


def _buckets(limits: Sequence[Limit]) -> list[float]:
    return [part for limit in limits for part in (limit.per_second, limit.burst)]
