"""Authenticate an API key, and record that it is in use."""

from __future__ import annotations

import hmac
import logging

from shared.domain.actor import Actor
from shared.domain.api_key_format import hash_of, key_parts
from shared.domain.timestamps import unix_seconds
from shared.errors import UnavailableError
from shared.platform.deadline import within
from shared.repositories.api_keys import ApiKeyRepository

# How old a key's recorded last use may be: recording every use would be a write per request.
NOTED_EVERY_SECONDS = 3600.0
# How long a request waits for its use to be recorded.
NOTE_SECONDS = 1.0

logger = logging.getLogger(__name__)


async def use_api_key(api_keys: ApiKeyRepository, text: str, unix_now: float) -> Actor | None:
    """The key's actor at `unix_now` (Unix seconds); `None` for a key that is malformed, unknown, revoked or expired.

    Raises `UnavailableError` while the key cannot be looked up; a use that cannot be recorded is only logged.
    """
    parts = key_parts(text)
    if parts is None:
        return None
    key_id, secret = parts
    row = await api_keys.for_authorizer(key_id)
    # In constant time, so that the response time tells nothing about the hash.
    if row is None or not hmac.compare_digest(row["key_hash"] or "", hash_of(secret)):
        return None
    expires_at = None if row["expires_at"] is None else unix_seconds(row["expires_at"])
    if row["status"] != "active" or (expires_at is not None and expires_at <= unix_now):
        return None
    if row["last_used_at"] is None or unix_now - unix_seconds(row["last_used_at"]) >= NOTED_EVERY_SECONDS:
        await _note(api_keys, key_id)
    return Actor(row["tenant_id"], f"api_key:{key_id}", row["role"], frozenset(row["scopes"]), expires_at)


async def _note(api_keys: ApiKeyRepository, key_id: str) -> None:
    try:
        with within(NOTE_SECONDS):
            await api_keys.note_use(key_id, NOTED_EVERY_SECONDS)
    except UnavailableError:
        logger.warning("api_key_use_not_noted", extra={"api_key_id": key_id})
