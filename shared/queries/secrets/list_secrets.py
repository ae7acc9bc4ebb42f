"""A tenant's secrets, without their values."""

from __future__ import annotations

from shared.json_types import JsonMapping, JsonObject
from shared.queries.page import Page, keyset_page
from shared.repositories.rows import Keyset, columns
from shared.repositories.secrets import SecretRepository

FIELDS = ("name", "allowed_hosts", "created_at", "updated_at")


async def list_secrets(
    secrets: SecretRepository, tenant_id: str, limit: int, before: Keyset | None = None
) -> Page[Keyset]:
    """The secrets' names, allowed hosts and dates, newest first."""
    page = keyset_page(await secrets.list(tenant_id, limit + 1, before), limit)
    return Page([view(row) for row in page.items], page.next)


def view(row: JsonMapping) -> JsonObject:
    """The secret as the API shows it."""
    return columns(row, FIELDS)
