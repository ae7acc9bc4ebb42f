"""API keys, and the look-up by the authorizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.repositories.database import Database
from shared.repositories.rows import Keyset, in_service_form, page

if TYPE_CHECKING:
    from shared.repositories.row_types import ApiKeyRow

COLUMNS = "id,tenant_id,name,role,scopes,status,expires_at,last_used_at,stream_version,created_at,updated_at"


class ApiKeyRepository:
    """Reads `api_keys`, and records their use."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def get(self, tenant_id: str, api_key_id: str) -> ApiKeyRow | None:
        """The key's row without its hash; `None` for an unknown key, also another tenant's."""
        rows: Sequence[ApiKeyRow] = await self._database.select(
            "api_keys", COLUMNS, lambda query: query.eq("tenant_id", tenant_id).eq("id", api_key_id)
        )
        return in_service_form(rows[0]) if rows else None

    async def list(self, tenant_id: str, limit: int, before: Keyset | None = None) -> Sequence[ApiKeyRow]:
        """The tenant's keys that are not revoked, newest first."""
        rows: Sequence[ApiKeyRow] = await self._database.select(
            "api_keys",
            COLUMNS,
            lambda query: page(query.eq("tenant_id", tenant_id).eq("status", "active"), limit, before),
        )
        return [in_service_form(row) for row in rows]

    async def for_authorizer(self, api_key_id: str) -> ApiKeyRow | None:
        """The key of any tenant, with its `key_hash`: the caller is not authenticated yet."""
        rows: Sequence[ApiKeyRow] = await self._database.select(
            "api_keys", f"{COLUMNS},key_hash", lambda query: query.eq("id", api_key_id)
        )
        return in_service_form(rows[0]) if rows else None

    async def note_use(self, api_key_id: str, every_seconds: float) -> None:
        """Records that the key is used now, unless that was recorded within `every_seconds`."""
        await self._database.rpc("use_api_key", {"api_key_id": api_key_id, "every_seconds": every_seconds})
