"""Schedules that are due: each tick starts exactly one run, however many drains see it.

The run's id is derived from the tick, so that starting it is idempotent. The schedule advances to its next tick only
when the run is durable: a drain that dies in between leaves the tick to the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shared.domain.execution.state import ExecutionState
from shared.engine.run.journal import Journal
from shared.engine.run.recorder import Recorder
from shared.errors import StreamConflictError, UnavailableError
from shared.events.execution import ExecutionQueued
from shared.ids import derived_id
from shared.json_types import JsonMapping
from shared.observability import count
from shared.queue.job import ExecutionJob
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.schedules import ScheduleRepository

if TYPE_CHECKING:
    from shared.domain.workflow.schedule import Ticks
    from shared.repositories.row_types import AdvancedSchedule, ClaimedSchedule


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

    async def fire(self, due: Sequence[ClaimedSchedule]) -> list[ExecutionJob]:
        """The jobs of the runs that have begun, all of them durable. `due` is what `claim_due` says of schedules.

        Raises nothing: a schedule that cannot be read, or whose run is refused, is logged and comes back when its lease
        ends, as all do while the store is out of reach; the others fire.
        """
        ticks = [(schedule, tick) for schedule in due if (tick := self._ticks(schedule)) is not None]
        begun = await asyncio.gather(
            *(self._start(schedule, tick.latest, tick.missed) for schedule, tick in ticks), return_exceptions=True
        )
        jobs: list[ExecutionJob] = []
        moved: list[AdvancedSchedule] = []
        for (schedule, tick), outcome in zip(ticks, begun, strict=True):
            if isinstance(outcome, ExecutionJob):
                jobs.append(outcome)
                moved.append({**schedule, "next_at": tick.next})
            else:
                _log_failure("schedule_not_started", schedule, outcome)
        await self._advance(moved)
        return jobs

    def _ticks(self, schedule: ClaimedSchedule) -> Ticks | None:
        # Imported here: most drains see no schedule that is due.
        from shared.domain.workflow.schedule import ticks_until

        try:
            return ticks_until(schedule["cron"], schedule["timezone"], schedule["due_at"], self._clock())
        except Exception as error:  # noqa: BLE001  # valid when it was published; one schedule's error is no other's
            _log_failure("schedule_unreadable", schedule, error)
            return None

    async def _advance(self, moved: Sequence[AdvancedSchedule]) -> None:
        """Sets schedules whose runs have begun to their next ticks. One that is refused holds up no other, and comes
        back when its lease ends; its run is then started once more, to no effect."""

        async def put_aside(schedule: AdvancedSchedule, error: Exception) -> None:
            _log_failure("schedule_not_advanced", schedule, error)

        if not moved:
            return
        from shared.engine.drain.bisection import write_all  # most drains see no schedule

        try:
            await write_all(moved, self._schedules.advance, put_aside)
        except UnavailableError as error:
            _log_failure("schedules_wait", moved[0], error)

    async def _start(self, schedule: ClaimedSchedule, scheduled_at: str, missed: int) -> ExecutionJob:
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


def _log_failure(event: str, schedule: JsonMapping, error: BaseException) -> None:
    """Logs and counts a schedule that did not fire or advance."""
    fields = {name: schedule.get(name) for name in ("tenant_id", "workflow_id", "node_id")}
    if isinstance(error, UnavailableError):
        logger.warning("schedules_wait", extra=fields)
    else:
        logger.error(event, exc_info=error, extra=fields)
        count("SweepItemsFailed")
