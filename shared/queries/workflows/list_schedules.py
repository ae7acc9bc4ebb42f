"""When does a workflow run by itself next?"""

from __future__ import annotations

from shared.queries.workflows.get_workflow import get_workflow
from shared.repositories.rows import Rows
from shared.repositories.schedules import ScheduleRepository
from shared.repositories.workflows import WorkflowRepository


async def list_schedules(
    workflows: WorkflowRepository, schedules: ScheduleRepository, tenant_id: str, workflow_id: str
) -> Rows:
    """`{node_id, version, cron, timezone, next_at}` of the published schedule triggers, by node id.

    Raises `NotFoundError` for a workflow that is not the tenant's.
    """
    await get_workflow(workflows, tenant_id, workflow_id)
    return [row for row in await schedules.list(tenant_id, workflow_id) if row["next_at"] is not None]
