"""Schedules that are due: each tick starts exactly one run, however many drains see it.

The run's id is derived from the tick, so that starting it twice is starting it once; only when it is durable does the
schedule move on. A drain that dies in between leaves the tick to the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from shared.domain.execution import ExecutionState
from shared.engine.journal import Journal
from shared.engine.recorder import Recorder
from shared.errors import StreamConflictError
from shared.events.execution import ExecutionQueued
from shared.ids import derived_id
from shared.queue.job import ExecutionJob
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.schedules import ScheduleRepository

JsonObject = dict[str, Any]

logger = logging.getLogger(__name__)


class Schedules:
    """Starts the runs of a drain's due schedules."""

    def __init__(
        self,
        events: EventStoreRepository,
        journal: Journal,
        schedules: ScheduleRepository,
        name: str,
        clock: Callable[[], float],
    ) -> None:
        """`name` is the drain's: it stands in the metadata of the events."""
        self._events, self._journal, self._schedules = events, journal, schedules
        self._actor, self._clock = f"drain:{name}", clock

    async def fire(self, due: Sequence[JsonObject]) -> list[ExecutionJob]:
        """The jobs of the runs that have begun, all of them durable. `due` is what `claim_due` says of schedules."""
        # The expression of a schedule is rarely needed: most drains see none.
        from shared.domain.schedule import ScheduleError, ticks_until

        started, moved = [], []
        for schedule in due:
            try:
                ticks = ticks_until(schedule["cron"], schedule["timezone"], schedule["due_at"], self._clock())
            except ScheduleError:
                # It was checked when it was published; until it is published again its lease brings it back here.
                logger.exception("schedule_unreadable", extra={"workflow_id": schedule["workflow_id"]})
                continue
            started.append(self._start(schedule, ticks.latest, ticks.missed))
            moved.append({**schedule, "next_at": ticks.next})
        jobs = await asyncio.gather(*started)
        if moved:
            await self._schedules.advance(moved)
        return jobs

    async def _start(self, schedule: JsonObject, scheduled_at: str, missed: int) -> ExecutionJob:
        tenant_id, workflow_id, node_id = schedule["tenant_id"], schedule["workflow_id"], schedule["node_id"]
        execution_id = derived_id("tick", workflow_id, node_id, scheduled_at)
        trigger = {
            "type": "schedule",
            "node_id": node_id,
            "body": {
                "scheduled_at": scheduled_at,
                "timezone": schedule["timezone"],
                "cron": schedule["cron"],
                "missed": missed,
            },
            "headers": {},
            "query": {},
            "method": None,
        }
        state = ExecutionState(execution_id, tenant_id)
        recorder = Recorder(state, self._events, self._journal, self._actor, self._clock)
        recorder.record(ExecutionQueued(workflow_id, schedule["version"], trigger))
        # Another drain may have started this tick's run before it died.
        with contextlib.suppress(StreamConflictError):
            await recorder.durable()
        return ExecutionJob(tenant_id, execution_id, "resume")
