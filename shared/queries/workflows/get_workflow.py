"""One workflow, and the shape in which every answer shows it."""

from __future__ import annotations

from shared.errors import NotFoundError
from shared.json_types import JsonObject
from shared.repositories.workflows import WorkflowRepository

FIELDS = (
    "id",
    "name",
    "description",
    "nodes",
    "edges",
    "tags",
    "settings",
    "status",
    "version",
    "published_version",
    "created_at",
    "updated_at",
)


async def get_workflow(workflows: WorkflowRepository, tenant_id: str, workflow_id: str) -> JsonObject:
    """The tenant's workflow, archived ones too, with `stream_version`; else `NotFoundError`."""
    row = await workflows.get(tenant_id, workflow_id)
    if row is None:
        raise NotFoundError("There is no such workflow.")
    return row


def view(row: JsonObject) -> JsonObject:
    """What is shown of a workflow's row: all of it but our own bookkeeping."""
    return {name: row[name] for name in FIELDS}
