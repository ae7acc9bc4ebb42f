"""One workflow, and its view in all responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import NotFoundError
from shared.json_types import JsonMapping, JsonObject
from shared.repositories.rows import columns
from shared.repositories.workflows import WorkflowRepository

if TYPE_CHECKING:
    from shared.repositories.row_types import WorkflowRow

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


async def get_workflow(workflows: WorkflowRepository, tenant_id: str, workflow_id: str) -> WorkflowRow:
    """The tenant's workflow, archived or not, with `stream_version`; raises `NotFoundError`."""
    row = await workflows.get(tenant_id, workflow_id)
    if row is None:
        raise NotFoundError("There is no such workflow.")
    return row


def view(row: JsonMapping) -> JsonObject:
    """The workflow as the API shows it: its row without internal columns."""
    return columns(row, FIELDS)
