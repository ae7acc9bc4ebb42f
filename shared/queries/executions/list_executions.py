"""A tenant's runs."""

from __future__ import annotations

from shared.json_types import JsonMapping, JsonObject
from shared.queries.page import Page, keyset_page
from shared.repositories.executions import ExecutionRepository
from shared.repositories.rows import Keyset, columns

SHOWN = (
    "id",
    "workflow_id",
    "workflow_version",
    "status",
    "trigger",
    "created_at",
    "started_at",
    "finished_at",
)
SHOWN_WHERE_SET = ("error", "parent_id", "forked_from", "replayed_from")


async def list_executions(
    executions: ExecutionRepository,
    tenant_id: str,
    limit: int,
    before: Keyset | None = None,
    workflow_id: str | None = None,
    status: str | None = None,
    since: str | None = None,
    until: str | None = None,
    parent_id: str | None = None,
) -> Page[Keyset]:
    """The tenant's runs, newest first; created from `since` (inclusive) to `until` (exclusive), started by the run
    `parent_id`."""
    rows = await executions.list(tenant_id, limit + 1, before, workflow_id, status, since, until, parent_id)
    page = keyset_page(rows, limit)
    return Page([_described(row) for row in page.items], page.next)


def _described(row: JsonMapping) -> JsonObject:
    optional = {name: row[name] for name in SHOWN_WHERE_SET if row[name] is not None}
    return {**columns(row, SHOWN), **optional}
