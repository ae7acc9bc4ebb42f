"""The published versions of a workflow."""

from __future__ import annotations

from typing import Any

from shared.errors import NotFoundError
from shared.queries.get_workflow import get_workflow
from shared.queries.page import Page
from shared.repositories.workflows import WorkflowRepository

# A version is an integer in the database.
MAX_VERSION = 2**31 - 1


async def list_versions(
    workflows: WorkflowRepository, tenant_id: str, workflow_id: str, limit: int, before: int | None = None
) -> Page[int]:
    """Published versions with their graphs, the newest first; a workflow that is not the tenant's: `NotFoundError`."""
    await get_workflow(workflows, tenant_id, workflow_id)
    rows = await workflows.versions(tenant_id, workflow_id, limit + 1, before)
    items = rows[:limit]
    return Page(items, items[-1]["version"] if len(rows) > limit else None)


async def get_version(workflows: WorkflowRepository, tenant_id: str, workflow_id: str, version: str) -> dict[str, Any]:
    """One published version; a draft's version, and a text that is no version, are a `NotFoundError`."""
    number = int(version) if version.isascii() and version.isdigit() and len(version) <= 10 else 0
    row = await workflows.version(tenant_id, workflow_id, number) if 0 < number <= MAX_VERSION else None
    if row is None or row["published_at"] is None:
        raise NotFoundError("There is no such published version.")
    return row
