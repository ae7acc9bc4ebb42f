"""Tenants' secrets: names and dates, and for effects the encrypted values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.domain.secret_hosts import BoundSecret, is_bound
from shared.repositories.database import Database
from shared.repositories.rows import Keyset, in_service_form, page

if TYPE_CHECKING:
    from shared.repositories.row_types import SecretRow

COLUMNS = "id,tenant_id,name,status,stream_version,created_at,updated_at,allowed_hosts"


class SecretRepository:
    """Reads `secrets`."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def get(self, tenant_id: str, name: str) -> SecretRow | None:
        """The secret's row without its value, deleted or not; `None` when the tenant never had it."""
        rows: Sequence[SecretRow] = await self._database.select(
            "secrets", COLUMNS, lambda query: query.eq("tenant_id", tenant_id).eq("name", name)
        )
        return in_service_form(rows[0]) if rows else None

    async def list(self, tenant_id: str, limit: int, before: Keyset | None = None) -> Sequence[SecretRow]:
        """The tenant's secrets that are not deleted, newest first, without their values."""
        rows: Sequence[SecretRow] = await self._database.select(
            "secrets",
            COLUMNS,
            lambda query: page(query.eq("tenant_id", tenant_id).eq("status", "active"), limit, before),
        )
        return [in_service_form(row) for row in rows]

    async def count(self, tenant_id: str) -> int:
        """How many secrets the tenant has."""
        # More than a tenant may have is not counted.
        return len(
            await self._database.select(
                "secrets", "id", lambda query: query.eq("tenant_id", tenant_id).eq("status", "active").limit(1_000)
            )
        )

    async def values(self, tenant_id: str, names: Sequence[str]) -> dict[str, BoundSecret]:
        """The encrypted values and their bindings by name; unknown names are left out."""
        rows = await self._database.select(
            "secrets",
            "name,value,allowed_hosts",
            lambda query: query.eq("tenant_id", tenant_id).eq("status", "active").in_("name", names),
        )
        return {row["name"]: BoundSecret(row["value"], _hosts(row["allowed_hosts"])) for row in rows}

    async def bound(self, tenant_id: str, names: Sequence[str]) -> set[str]:
        """Those of the names whose secret may be sent to some hosts only."""
        rows = await self._database.select(
            "secrets",
            "name,allowed_hosts",
            lambda query: query.eq("tenant_id", tenant_id).eq("status", "active").in_("name", names),
        )
        return {row["name"] for row in rows if is_bound(row["allowed_hosts"])}


def _hosts(entries: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if entries is None else tuple(entries)
