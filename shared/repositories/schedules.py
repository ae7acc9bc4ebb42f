"""Schedules of published workflows, with their next ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.repositories.database import Database
from shared.repositories.rows import in_service_form

if TYPE_CHECKING:
    from shared.repositories.row_types import AdvancedSchedule, ScheduleRow

COLUMNS = "node_id,version,cron,timezone,next_at"


class ScheduleRepository:
    """Reads and advances `schedules`; publishing a workflow writes them, and `claim_due` claims the due ones."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def list(self, tenant_id: str, workflow_id: str) -> Sequence[ScheduleRow]:
        """The workflow's schedules by node id; `next_at` is unset for those that are not published."""
        rows: Sequence[ScheduleRow] = await self._database.select(
            "schedules",
            COLUMNS,
            lambda query: query.eq("tenant_id", tenant_id).eq("workflow_id", workflow_id).order("node_id"),
        )
        return [in_service_form(row) for row in rows]

    async def advance(self, schedules: Sequence[AdvancedSchedule]) -> None:
        """Has each schedule wait for its next tick, unless it has changed since its tick at `due_at` was claimed."""
        await self._database.rpc("advance_schedules", {"schedules": list(schedules)})
