"""Executions as they are now, and the ones that are due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.repositories.database import Database
from shared.repositories.rows import Keyset, in_service_form, page

if TYPE_CHECKING:
    from postgrest import AsyncSelectRequestBuilder

    from shared.domain.execution.row import ExecutionRow
    from shared.repositories.row_types import ClaimedRow, InvariantViolation

COLUMNS = (
    "id,workflow_id,workflow_version,status,trigger,webhook_id,error,parent_id,forked_from,replayed_from,wake_at,"
    "stream_version,created_at,started_at,finished_at"
)


class ExecutionRepository:
    """Reads `executions`, and claims due runs for the drain's sweep."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def get(self, tenant_id: str, execution_id: str) -> ExecutionRow | None:
        """The execution's row; `None` for an unknown execution, also another tenant's."""
        rows: Sequence[ExecutionRow] = await self._database.select(
            "executions", COLUMNS, lambda query: query.eq("tenant_id", tenant_id).eq("id", execution_id)
        )
        return in_service_form(rows[0]) if rows else None

    async def list(
        self,
        tenant_id: str,
        limit: int,
        before: Keyset | None = None,
        workflow_id: str | None = None,
        status: str | None = None,
        since: str | None = None,
        until: str | None = None,
        parent_id: str | None = None,
    ) -> Sequence[ExecutionRow]:
        """Executions, newest first; `since` (inclusive) and `until` (exclusive) bound their creation."""

        def configure(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id)
            for column, value in (("workflow_id", workflow_id), ("status", status), ("parent_id", parent_id)):
                if value is not None:
                    query = query.eq(column, value)
            if since is not None:
                query = query.gte("created_at", since)
            if until is not None:
                query = query.lt("created_at", until)
            return page(query, limit, before)

        rows: Sequence[ExecutionRow] = await self._database.select("executions", COLUMNS, configure)
        return [in_service_form(row) for row in rows]

    async def held_workflows(self, tenant_id: str, webhook_id: str) -> Sequence[str]:
        """The ids of the workflows whose runs the webhook holds until it is active again: usually one, more where the
        webhook was moved to another workflow meanwhile."""
        workflow_ids: Sequence[str] = ()

        def another(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id).eq("webhook_id", webhook_id).eq("status", "queued")
            query = query.not_.is_("held_bytes", "null")
            for workflow_id in workflow_ids:
                query = query.neq("workflow_id", workflow_id)
            return query.limit(1)

        # PostgREST has no `distinct`; one query per workflow, of which there is nearly always one.
        while rows := await self._database.select("executions", "workflow_id", another):
            workflow_ids = (*workflow_ids, rows[0]["workflow_id"])
        return workflow_ids

    async def claim_due(self, limit: int, lease_seconds: float, now: str) -> Sequence[ClaimedRow]:
        """The runs and schedules that are due at `now`, oldest first; each is leased to one caller for
        `lease_seconds`."""
        argument = {"limit": limit, "lease_seconds": lease_seconds, "now": now}
        claimed: Sequence[ClaimedRow] = await self._database.rpc("claim_due", argument)
        return claimed

    async def invariant_violations(
        self, overdue_seconds: float = 300, *, tenant_id: str | None = None
    ) -> Sequence[InvariantViolation]:
        """At most 100 runs and schedules that have been due for `overdue_seconds`: the tenant's or, unset,
        everybody's."""
        argument = {"overdue_seconds": overdue_seconds, "tenant_id": tenant_id}
        violations: Sequence[InvariantViolation] = await self._database.rpc("invariant_violations", argument)
        return violations
