"""A drain that is killed at a named point: `python -m tests.faults.dying_drain <point>`, in the drain's environment.

It is made of the real parts, as `functions/drain` makes it; one of them is of a subclass that ends the process with
SIGKILL the first time that the point is reached. Nothing is flushed, no lock is given back, no `finally` runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from shared.bootstrap import Services
from shared.commands.enqueue_resume import enqueue_resume
from shared.engine.drain.loop import Drain
from shared.engine.drain.schedules import Schedules
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.executor import RunExecutor
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.journal import Journal
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.nodes.node_kinds import EffectPermissions
from shared.queue.consumer import JobConsumer
from shared.queue.job import ClaimedJob
from shared.repositories.append import Append, Appended
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository
from shared.settings import Settings

# How long it may take to reach the point.
SECONDS = 30.0


def die() -> NoReturn:
    """Ends this process as an operating system would that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


class DiesAtAppend(EventStoreRepository):
    """Dies before, or right after, the first append that the point is about."""

    def __init__(self, database: Database, is_fatal: Callable[[Append], bool], is_after: bool) -> None:
        super().__init__(database)
        self._is_fatal, self._is_after = is_fatal, is_after

    async def append(self, appends: Sequence[Append], lines: Sequence[JsonObject] = ()) -> list[Appended]:
        is_fatal = any(self._is_fatal(append) for append in appends)
        if is_fatal and not self._is_after:
            die()
        appended = await super().append(appends, lines)
        if is_fatal:
            die()
        return appended


class DiesAfterClaim(JobConsumer):
    """Dies with a job in hand that nothing has been done about."""

    async def claim(self, token: str) -> ClaimedJob | None:
        claimed = await super().claim(token)
        return claimed if claimed is None else die()


class DiesBeforeAcknowledge(JobConsumer):
    """Dies when everything about a job is durable but the queue has not been told."""

    async def complete(self, claimed: ClaimedJob, fetch_next: bool = True) -> ClaimedJob | None:
        die()

    async def delay(self, claimed: ClaimedJob, seconds: float) -> None:
        die()


class DiesAfterSweep(ExecutionRepository):
    """Dies with due runs that it has claimed and that no queue knows of."""

    async def claim_due(self, limit: int, lease_seconds: float, now: str) -> list[JsonObject]:
        due = await super().claim_due(limit, lease_seconds, now)
        return die() if due else due


def has(name: str, node_id: str | None = None, is_called: bool = False) -> Callable[[Append], bool]:
    """Appends with such a fact, of this node where one is given, of a run that was called or of one that was not."""
    return lambda append: (
        is_called == bool((append.row or {}).get("parent_id"))
        and any(event.event_type == name and node_id in (None, event.payload.get("node_id")) for event in append.events)
    )


EVENTS: Mapping[str, tuple[Callable[[Append], bool], bool]] = {
    "before_first_append": (has("ExecutionQueued"), False),
    "after_first_append": (has("ExecutionQueued"), True),
    "after_start_of_effect": (has("NodeStarted", "first"), True),
    "before_end_of_effect": (has("NodeSucceeded", "first"), False),
    "after_start_of_map": (has("MapStarted"), True),
    "before_end_of_item": (has("ItemSucceeded"), False),
    "after_end_of_item": (has("ItemSucceeded"), True),
    "before_start_of_call": (has("NodeStarted", "ask"), False),
    "after_start_of_call": (has("NodeStarted", "ask"), True),
    "after_start_of_called_run": (has("ExecutionQueued", is_called=True), True),
    "before_end_of_called_run": (has("ExecutionSucceeded", is_called=True), False),
    "after_end_of_called_run": (has("ExecutionSucceeded", is_called=True), True),
    "before_wait": (has("NodeWaiting", "pause"), False),
    "after_wait": (has("NodeWaiting", "pause"), True),
    "before_end_of_run": (has("ExecutionSucceeded"), False),
    "after_end_of_run": (has("ExecutionSucceeded"), True),
}
CONSUMERS: Mapping[str, type[JobConsumer]] = {
    "after_claim": DiesAfterClaim,
    "before_resume": DiesAfterClaim,
    "before_acknowledge": DiesBeforeAcknowledge,
}
SWEEPS: Mapping[str, type[ExecutionRepository]] = {"after_sweep": DiesAfterSweep}
POINTS = (*EVENTS, *CONSUMERS, *SWEEPS)


async def main(point: str) -> None:
    """Drains until the point is reached."""
    settings = Settings.from_environment(os.environ)
    parts = Services(Database(settings.supabase_url, settings.supabase_key), settings)
    events = DiesAtAppend(parts.database, *EVENTS[point]) if point in EVENTS else parts.events
    consumer = CONSUMERS.get(point, JobConsumer)(parts.redis, parts.scripts, parts.redis_keys, settings)
    executions = SWEEPS.get(point, ExecutionRepository)(parts.database)
    guard = ExpressionEvaluator()
    graphs = GraphCache(parts.workflows, parts.config_cache, guard)
    journal, permissions = Journal(events), EffectPermissions(settings.outbound_allow)
    engine = RunExecutor(
        parts.events, journal, graphs, guard, "dying", permissions, notify_resume=partial(enqueue_resume, parts)
    )
    schedules = Schedules(parts.events, journal, parts.schedules, "dying", time.time)
    ends_at = time.monotonic() + SECONDS
    drain = Drain(
        consumer,
        parts.producer,
        parts.live_drains,
        executions,
        schedules,
        engine,
        settings,
        new_id(),
        lambda: ends_at - time.monotonic(),
    )
    await drain.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
