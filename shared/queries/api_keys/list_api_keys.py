"""A tenant's API keys, without the keys."""

from __future__ import annotations

from shared.json_types import JsonMapping, JsonObject
from shared.queries.page import Page, keyset_page
from shared.repositories.api_keys import ApiKeyRepository
from shared.repositories.rows import Keyset

FIELDS = ("id", "name", "role", "scopes", "expires_at", "last_used_at", "created_at")


async def list_api_keys(
    api_keys: ApiKeyRepository, tenant_id: str, limit: int, before: Keyset | None = None
) -> Page[Keyset]:
    """The keys that are not revoked, newest first; expired ones too."""
    page = keyset_page(await api_keys.list(tenant_id, limit + 1, before), limit)
    return Page([view(row) for row in page.items], page.next)


def view(row: JsonMapping) -> JsonObject:
    """The key as the API shows it."""
    return {name: row.get(name) for name in FIELDS}
