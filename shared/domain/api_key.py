"""The API key aggregate: who may call the API as a tenant, with which role, until when. The key is not part of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.domain.timestamps import in_utc
from shared.events.api_key import ApiKeyCreated, ApiKeyFact, ApiKeyRevoked
from shared.json_types import JsonObject


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key after its events. `expires_at` unset means that it does not expire."""

    id: str
    tenant_id: str
    name: str
    role: str
    scopes: list[str]
    status: str
    expires_at: str | None
    stream_version: int
    created_at: str
    updated_at: str


def apply(api_key: ApiKey | None, fact: ApiKeyFact, tenant_id: str, api_key_id: str, happened_at: str) -> ApiKey:
    """The key after one more fact; the first is `ApiKeyCreated`, else it raises `ValueError`."""
    happened_at = in_utc(happened_at) or happened_at
    if isinstance(fact, ApiKeyCreated):
        return ApiKey(
            id=api_key_id,
            tenant_id=tenant_id,
            name=fact.name,
            role=fact.role,
            scopes=fact.scopes,
            status="active",
            expires_at=in_utc(fact.expires_at),
            stream_version=1,
            created_at=happened_at,
            updated_at=happened_at,
        )
    if api_key is None:
        raise ValueError(f"The stream of API key {api_key_id} does not begin with ApiKeyCreated.")
    match fact:
        case ApiKeyRevoked():
            return replace(api_key, status="revoked", stream_version=api_key.stream_version + 1, updated_at=happened_at)


def row(api_key: ApiKey) -> JsonObject:
    """The key's row in `api_keys`, without its hash."""
    return {name: getattr(api_key, name) for name in ApiKey.__slots__}
