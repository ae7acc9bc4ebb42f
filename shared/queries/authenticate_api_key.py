"""Who holds an API key."""

from __future__ import annotations

import hmac

from shared.domain.actor import Actor
from shared.domain.api_key_text import hash_of, key_parts
from shared.domain.timestamps import unix_seconds
from shared.repositories.api_keys import ApiKeyRepository


async def authenticate_api_key(api_keys: ApiKeyRepository, text: str, unix_now: float) -> Actor | None:
    """The key's actor at `unix_now` (Unix seconds); `None` for a key that is malformed, unknown, revoked or expired."""
    parts = key_parts(text)
    if parts is None:
        return None
    key_id, secret = parts
    row = await api_keys.for_authorizer(key_id)
    if row is None or not hmac.compare_digest(row["key_hash"] or "", hash_of(secret)):
        return None
    expired = row["expires_at"] is not None and unix_seconds(row["expires_at"]) <= unix_now
    if row["status"] != "active" or expired:
        return None
    return Actor(row["tenant_id"], f"api_key:{key_id}", row["role"], frozenset(row["scopes"]))
