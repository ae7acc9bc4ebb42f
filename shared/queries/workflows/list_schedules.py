"""A workflow's schedules, with their next ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.queries.workflows.get_workflow import get_workflow
from shared.repositories.schedules import ScheduleRepository
from shared.repositories.workflows import WorkflowRepository

if TYPE_CHECKING:
    from shared.repositories.row_types import ScheduleRow


async def list_schedules(
    workflows: WorkflowRepository, schedules: ScheduleRepository, tenant_id: str, workflow_id: str
) -> list[ScheduleRow]:
    """`{node_id, version, cron, timezone, next_at}` of the published schedule triggers, by node id.

    Raises `NotFoundError` for an unknown workflow.
    """
    await get_workflow(workflows, tenant_id, workflow_id)
    return [row for row in await schedules.list(tenant_id, workflow_id) if row["next_at"] is not None]
