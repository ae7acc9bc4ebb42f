"""One published version of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import NotFoundError
from shared.repositories.workflows import WorkflowRepository

if TYPE_CHECKING:
    from shared.domain.workflow.state import WorkflowVersionRow

# A version is an integer in the database.
MAX_VERSION = 2**31 - 1


async def get_workflow_version(
    workflows: WorkflowRepository, tenant_id: str, workflow_id: str, version: str
) -> WorkflowVersionRow:
    """One published version; an unpublished one, or a malformed number, raises `NotFoundError`."""
    # `int` also takes the digits of other scripts, and raises for thousands of digits.
    number = int(version) if version.isascii() and version.isdigit() and len(version) <= 10 else 0
    row = await workflows.version(tenant_id, workflow_id, number) if 0 < number <= MAX_VERSION else None
    if row is None or row["published_at"] is None:
        raise NotFoundError("There is no such published version.")
    return row
