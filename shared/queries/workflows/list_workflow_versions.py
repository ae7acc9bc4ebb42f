"""The published versions of a workflow."""

from __future__ import annotations

from shared.queries.page import Page
from shared.queries.workflows.get_workflow import get_workflow
from shared.repositories.workflows import WorkflowRepository


async def list_workflow_versions(
    workflows: WorkflowRepository, tenant_id: str, workflow_id: str, limit: int, before: int | None = None
) -> Page[int]:
    """Published versions with their graphs, newest first; raises `NotFoundError` for an unknown workflow."""
    await get_workflow(workflows, tenant_id, workflow_id)
    rows = await workflows.versions(tenant_id, workflow_id, limit + 1, before)
    items = rows[:limit]
    return Page(items, items[-1]["version"] if len(rows) > limit else None)
