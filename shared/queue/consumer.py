"""The queue of executions: BullMQ's own Lua scripts and packing, a claim loop of our own.

BullMQ's Worker takes two round trips a job and knows no time budget; driven by hand with `fetchNext`, finishing one
job hands over the next, and all fibers of a drain share their round trips.

The life of a job: waiting → claimed (active, locked under a token) → completed, delayed, failed or handed back. The
lock is a lease: where nobody renews it, two looks of `recover_stalled` put the job back in line.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from bullmq.redis_connection import SCRIPT_DEFINITIONS
from bullmq.scripts import Scripts, raw2NextJobData
from redis.asyncio import Redis

from shared.queue.connection import CALL_SECONDS, in_time
from shared.queue.job import PUT_OFF_FIELD, ClaimedJob, claimed_job
from shared.queue.keys import OwnKeys
from shared.queue.scripts import ScriptRunner, bullmq_script
from shared.settings import Settings

logger = logging.getLogger(__name__)

# Malformed jobs are kept for people to look at (dead letters), the newest of them.
KEPT_ASIDE = {"count": 1000}
# How often a job may lose its drain before it comes back with `deferred_failure`. Drains die for other reasons than a
# job, and every job that they had is a suspect; a suspect is delayed when it is claimed, longer each time, so that so
# many losses lie minutes apart: `shared.engine.drain.stalled_jobs`.
MAX_STALLED = 10
# How long the counter of a run's errors lives.
ERROR_MEMORY_SECONDS = 86_400
# A client waits no longer for an answer: an HTTP API gives up after thirty seconds.
AWAITED_SECONDS = 30

_JOB_GONE = (-1, -2, -3, -6)  # missing job, missing lock, not active, another worker's lock
# BullMQ refuses to complete a job because of other jobs of its flow, though the run is recorded.
_IN_FLOW = {-4: "The job's flow has pending children.", -9: "The job's flow has failed children."}


class JobConsumer:
    """Claims jobs and acknowledges them. Every method raises `QueueUnavailableError` while Redis cannot be reached."""

    def __init__(self, client: Redis, scripts: ScriptRunner, keys: OwnKeys, settings: Settings) -> None:
        """Claims through the process's `scripts` from the queue that the settings name, each job for
        `settings.lock_seconds`; `keys` are ours beside it."""
        self._client, self._scripts, self._keys = client, scripts, keys
        self._lock_milliseconds = int(settings.lock_seconds * 1000)
        self._worker_options = {"lockDuration": self._lock_milliseconds}
        # BullMQ's class packs arguments and names keys; the calls themselves go through our runner.
        commands = {name: _command(scripts, file) for name, file in SCRIPT_DEFINITIONS.items()}
        self._bull = Scripts(
            settings.queue_prefix, settings.queue_name, SimpleNamespace(conn=client, commands=commands)
        )
        self._next_delayed_milliseconds = 0.0

    # -- runs that are signalled or waited for -----------------------------------------------------------------------

    async def resume(self, execution_id: str) -> bool:
        """Whether a client waits for the answer of an execution that is run now. Its mark of a signal is deleted: this
        run sees what has happened so far."""
        async with in_time(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.delete(self._keys.signalled(execution_id))
            pipeline.getdel(self._keys.awaited(execution_id))
            _, awaited = await pipeline.execute()
        return bool(awaited)

    async def remember_waiting_client(self, execution_id: str) -> None:
        """Keeps, while an execution sleeps, that a client waits for its answer."""
        async with in_time():
            await self._client.set(self._keys.awaited(execution_id), "1", ex=AWAITED_SECONDS)

    async def was_signalled(self, execution_id: str) -> bool:
        """Whether the execution was enqueued as `signalled` since `resume`; the mark is deleted."""
        async with in_time():
            return bool(await self._client.getdel(self._keys.signalled(execution_id)))

    # -- claiming ----------------------------------------------------------------------------------------------------

    async def claim(self, token: str) -> ClaimedJob | None:
        """The next job, locked under `token`; `None` when none is ready."""
        async with in_time():
            return self._next(await self._bull.moveToActive(token, self._worker_options), token)

    async def complete(self, claimed: ClaimedJob, fetch_next: bool = True) -> ClaimedJob | None:
        """The next job under the same token, in the same round trip, unless `fetch_next` is off or none is ready.

        A job whose lock was lost meanwhile, or that was flushed away, needs no completing.
        """
        # `True` keeps no finished jobs: the job is removed, which frees its id for the run's next one.
        return await self._finish(claimed, "completed", None, fetch_next, True)

    async def fail(
        self, claimed: ClaimedJob, reason: str, fetch_next: bool = True, *, is_kept: bool = False
    ) -> ClaimedJob | None:
        """The next job, like `complete`. With `is_kept` the job stays among the failed ones, for people to look at; its
        id is not free then for another job. A malformed one always stays."""
        # `True` removes the job here as well: a job that failed and stays would hold the run's id.
        keep = KEPT_ASIDE if is_kept or claimed.job is None else True
        return await self._finish(claimed, "failed", reason[:1000], fetch_next, keep)

    async def delay(self, claimed: ClaimedJob, seconds: float, for_stall: bool = False) -> None:
        """Delays the job by `seconds` (nack); it comes back with `attempts_made` one higher. `for_stall` records in
        the job that it was delayed because drains have died over it."""
        options = {"fieldsToUpdate": {PUT_OFF_FIELD: str(claimed.stalled)}} if for_stall else {}
        keys, arguments = self._bull.moveToDelayedArgs(
            claimed.id, time.time_ns() // 1_000_000, claimed.token, max(1, int(seconds * 1000)), options
        )
        async with in_time():
            await self._scripts.call(bullmq_script(SCRIPT_DEFINITIONS["moveToDelayed"]), keys, arguments)

    async def hand_back(self, claimed: ClaimedJob) -> None:
        """Puts the job first in line, without its lock, for another drain."""
        keys = self._bull.getKeys(
            ["active", "wait", "stalled", "paused", "meta", "limiter", "prioritized", "marker", "events"]
        )
        async with in_time():
            await self._scripts.call(
                bullmq_script("moveJobFromActiveToWait-9.lua"),
                keys,
                [claimed.id, claimed.token, self._bull.toKey(claimed.id)],
            )

    async def extend_locks(self, claimed: Sequence[ClaimedJob]) -> list[str]:
        """Renews the locks; the ids of the jobs whose locks were lost."""
        if not claimed:
            return []
        async with in_time():
            lost: list[str] = await self._bull.extendJobLocks(
                [job.id for job in claimed], [job.token for job in claimed], self._lock_milliseconds
            )
        return lost

    async def recover_stalled(self) -> list[str]:
        """The ids of jobs put back in line because their drain died: those that the look before this one marked and
        whose lock has expired. Looks closer together than a lock lives do nothing, in whichever process."""
        async with in_time():
            recovered: list[str] = await self._bull.moveStalledJobsToWait(MAX_STALLED, self._lock_milliseconds)
        return recovered

    async def wait_for_job(self, timeout_seconds: float) -> None:
        """Returns when a job may be ready, or after `timeout_seconds`: `claim` says which.

        Blocks on BullMQ's marker: score 0 says that a job waits, another score when the next delayed one is due.
        """
        deadline = time.time() + timeout_seconds
        while True:
            now = time.time()
            # A claim that found nothing said when the next delayed job is due; its marker may be taken off already.
            until = deadline
            if self._next_delayed_milliseconds:
                until = min(deadline, self._next_delayed_milliseconds / 1000)
            if until <= now:
                return
            # Redis answers when the wait is over: only then does the usual deadline of a call begin.
            async with in_time(until - now + CALL_SECONDS):
                popped = await self._client.bzpopmin(self._bull.keys["marker"], until - now)
            if popped is None or float(popped[2]) <= time.time() * 1000:
                return
            # Popping has deleted the marker of a job that is not due yet: its time is known here alone, so it is waited
            # for.
            self._next_delayed_milliseconds = float(popped[2])

    async def counts(self) -> dict[str, int]:
        """How many jobs are in each of BullMQ's states `wait`, `active`, `delayed`, `failed`."""
        keys = self._bull.keys
        async with in_time(), self._client.pipeline(transaction=False) as pipeline:
            for state in ("wait", "active"):
                pipeline.llen(keys[state])
            for state in ("delayed", "failed"):
                pipeline.zcard(keys[state])
            counts = await pipeline.execute()
        return dict(zip(("wait", "active", "delayed", "failed"), counts, strict=True))

    async def count_error(self, execution_id: str) -> int:
        """How many internal errors this run has met within a day, this one included, in all drains.

        BullMQ's count of attempts is no such number: it includes every delay of a run that waits.
        """
        key = self._keys.errors(execution_id)
        async with in_time(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, ERROR_MEMORY_SECONDS)
            count, _ = await pipeline.execute()
        return int(count)

    async def ping(self) -> None:
        """Returns when Redis answers."""
        async with in_time():
            await self._client.ping()

    async def _finish(
        self, claimed: ClaimedJob, state: str, reason: str | None, fetch_next: bool, keep: object
    ) -> ClaimedJob | None:
        # As much of BullMQ's `Job` as the packing reads.
        job = SimpleNamespace(
            id=claimed.id,
            attempts=1,
            attemptsMade=claimed.attempts_made,
            opts={},
            queue=SimpleNamespace(opts=self._worker_options),
        )
        pack = self._bull.moveToCompletedArgs if state == "completed" else self._bull.moveToFailedArgs
        keys, arguments = pack(job, reason, keep, claimed.token, fetch_next)
        async with in_time():
            answer = await self._scripts.call(bullmq_script(SCRIPT_DEFINITIONS["moveToFinished"]), keys, arguments)
        if not isinstance(answer, int) or answer == 0:
            return self._next(raw2NextJobData(answer), claimed.token)
        if answer in _IN_FLOW:
            # The run is recorded whatever BullMQ says of its flow; its job must leave the queue, and free its id.
            logger.warning("job_failed_in_flow", extra={"job_id": claimed.id, "reason": _IN_FLOW[answer]})
            return await self.fail(claimed, _IN_FLOW[answer], fetch_next)
        if answer not in _JOB_GONE:
            logger.error("job_not_finished", extra={"job_id": claimed.id, "code": answer})
        return await self.claim(claimed.token) if fetch_next else None

    def _next(self, reply: list[Any] | None, token: str) -> ClaimedJob | None:
        fields, job_id, _, next_delayed = reply or (None, "", None, None)
        if fields:
            self._next_delayed_milliseconds = 0.0
            return claimed_job(job_id, token, fields)
        self._next_delayed_milliseconds = float(next_delayed or 0)
        return None


def _command(runner: ScriptRunner, file: str) -> object:
    def call(keys: Sequence[str], args: Sequence[object], client: object = None) -> asyncio.Future[Any]:
        assert client is None, "our runner makes the pipelines"
        return runner.call(bullmq_script(file), keys, args)

    return call
