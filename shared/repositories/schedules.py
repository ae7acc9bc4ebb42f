"""Schedules of published workflows, and the ticks that they wait for."""

from __future__ import annotations

from collections.abc import Sequence

from shared.repositories.database import Database
from shared.repositories.rows import Row, Rows, in_service_form

COLUMNS = "node_id,version,cron,timezone,next_at"


class ScheduleRepository:
    """Reads `schedules` and moves them on; publishing a workflow writes them, and `claim_due` finds those due."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def list(self, tenant_id: str, workflow_id: str) -> Rows:
        """The workflow's schedules by node id; `next_at` is unset for those that are not published."""
        rows = await self._database.select(
            "schedules",
            COLUMNS,
            lambda query: query.eq("tenant_id", tenant_id).eq("workflow_id", workflow_id).order("node_id"),
        )
        return [in_service_form(row) for row in rows]

    async def advance(self, schedules: Sequence[Row]) -> None:
        """Lets each of `{workflow_id, node_id, due_at, next_at}` wait for its next tick, unless it has changed."""
        await self._database.rpc("advance_schedules", {"schedules": list(schedules)})
