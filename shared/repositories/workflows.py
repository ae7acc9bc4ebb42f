"""Workflows and their versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from shared.repositories.database import Database
from shared.repositories.rows import Keyset, in_service_form, page

if TYPE_CHECKING:
    from postgrest import AsyncSelectRequestBuilder

    from shared.domain.workflow.state import WorkflowVersionRow
    from shared.repositories.row_types import WorkflowRow, WorkflowSummaryRow

SUMMARY = "id,name,description,tags,settings,status,version,published_version,created_at,updated_at"
WHOLE = f"{SUMMARY},nodes,edges,stream_version"
VERSION = "workflow_id,version,nodes,edges,settings,created_at,published_at"


class WorkflowRepository:
    """Reads `workflows` and `workflow_versions`."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def get(self, tenant_id: str, workflow_id: str) -> WorkflowRow | None:
        """The workflow with its graph and `stream_version`, archived or not; `None` for an unknown one."""
        rows: Sequence[WorkflowRow] = await self._database.select(
            "workflows", WHOLE, lambda query: query.eq("tenant_id", tenant_id).eq("id", workflow_id)
        )
        return in_service_form(rows[0]) if rows else None

    async def list(
        self,
        tenant_id: str,
        limit: int,
        before: Keyset | None = None,
        status: str | None = None,
        tag: str | None = None,
        text: str | None = None,
    ) -> Sequence[WorkflowSummaryRow]:
        """Workflows without their graphs, newest first; `status` unset leaves the archived ones out.

        `text` is looked for in the name, in any case.
        """

        def configure(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id)
            query = query.eq("status", status) if status else query.neq("status", "archived")
            if tag:
                query = query.contains("tags", [tag])
            if text:
                query = query.ilike("name", f"%{_literal(text)}%")
            return page(query, limit, before)

        rows: Sequence[WorkflowSummaryRow] = await self._database.select("workflows", SUMMARY, configure)
        return [in_service_form(row) for row in rows]

    async def known(self, tenant_id: str, workflow_ids: Collection[str]) -> set[str]:
        """The ids among these that are the tenant's workflows and not archived."""
        rows = await self._database.select(
            "workflows",
            "id",
            lambda query: query.eq("tenant_id", tenant_id).in_("id", sorted(workflow_ids)).neq("status", "archived"),
        )
        return {row["id"] for row in rows}

    async def version(self, tenant_id: str, workflow_id: str, version: int) -> WorkflowVersionRow | None:
        """One saved version, published or not; `None` for an unknown one."""
        rows: Sequence[WorkflowVersionRow] = await self._database.select(
            "workflow_versions",
            VERSION,
            lambda query: query.eq("tenant_id", tenant_id).eq("workflow_id", workflow_id).eq("version", version),
        )
        return in_service_form(rows[0]) if rows else None

    async def versions(
        self, tenant_id: str, workflow_id: str, limit: int, before: int | None = None
    ) -> Sequence[WorkflowVersionRow]:
        """The published versions, newest first, before version `before` where it is given."""

        def configure(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id).eq("workflow_id", workflow_id).not_.is_("published_at", "null")
            if before is not None:
                query = query.lt("version", before)
            return query.order("version", desc=True).limit(limit)

        rows: Sequence[WorkflowVersionRow] = await self._database.select("workflow_versions", VERSION, configure)
        return [in_service_form(row) for row in rows]


def _literal(text: str) -> str:
    """The text with the pattern characters of `ilike` taken literally, PostgREST's `*` among them."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    # PostgREST turns every * into %, without an escape for it: _, which matches any one character, comes closest.
    return escaped.replace("*", "_")
