"""A tenant's workflows."""

from __future__ import annotations

from shared.queries.page import Page, keyset_page
from shared.repositories.rows import Keyset
from shared.repositories.workflows import WorkflowRepository


async def list_workflows(
    workflows: WorkflowRepository,
    tenant_id: str,
    limit: int,
    before: Keyset | None = None,
    status: str | None = None,
    tag: str | None = None,
    q: str | None = None,
) -> Page[Keyset]:
    """Workflows without their graphs, newest first; archived ones only where `status` says so.

    `tag` is one that the workflow has, `q` a part of its name in any case.
    """
    return keyset_page(await workflows.list(tenant_id, limit + 1, before, status, tag, q), limit)
