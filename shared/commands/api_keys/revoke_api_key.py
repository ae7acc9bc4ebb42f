"""Revoke an API key."""

from __future__ import annotations

from shared.bootstrap import Services
from shared.commands.new_events import new_events, now
from shared.commands.optimistic_retry import retry_on_conflict
from shared.domain import api_key as api_keys
from shared.domain.actor import Actor
from shared.domain.api_key import ApiKey
from shared.errors import NotFoundError
from shared.events.api_key import ApiKeyRevoked
from shared.repositories.append import Append
from shared.repositories.rows import columns


async def revoke_api_key(services: Services, actor: Actor, api_key_id: str) -> None:
    """Revokes the key, with effect when the authorizer's cache expires at the latest. Repeating it changes nothing.

    A key that is not the tenant's raises `NotFoundError`.
    """

    async def attempt() -> None:
        row = await services.api_keys.get(actor.tenant_id, api_key_id)
        if row is None:
            raise NotFoundError("There is no such API key.")
        if row["status"] == "revoked":
            return
        before = ApiKey(**columns(row, ApiKey.__slots__))
        happened_at, fact = now(), ApiKeyRevoked()
        after = api_keys.apply(before, fact, actor.tenant_id, api_key_id, happened_at)
        await services.events.append_one(
            Append(
                tenant_id=actor.tenant_id,
                stream_id=api_key_id,
                stream_type="api_key",
                expected_version=before.stream_version,
                events=new_events(actor, happened_at, fact),
                row=api_keys.row(after),
            )
        )

    await retry_on_conflict(attempt)
