"""Supabase user tokens: JWTs signed with ES256 or RS256, checked against the project's published keys.

The project's key set is cached for ten minutes; a token that names an unknown key fetches it once more, at most every
ten seconds. Source: https://supabase.com/docs/guides/auth/jwts
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from shared.domain.actor import ROLES, Actor
from shared.ids import is_uuid
from shared.settings import Settings

CACHE_SECONDS = 600.0
REFETCH_SECONDS = 10.0
LEEWAY_SECONDS = 30
TIMEOUT_SECONDS = 3.0
MAX_TOKEN_CHARACTERS = 8192
# A key's type decides its algorithm: a token has no say in it.
_ALGORITHMS = {"EC": "ES256", "RSA": "RS256"}

JsonObject = dict[str, Any]


class UserTokens:
    """Verifies the tokens of one Supabase project."""

    def __init__(self, settings: Settings, fetch: Callable[[str], Awaitable[JsonObject]] | None = None) -> None:
        """The issuer is `{supabase_url}/auth/v1`, its keys are at `jwks_url` or below the issuer."""
        self._issuer = f"{settings.supabase_url}/auth/v1"
        self._url = settings.jwks_url or f"{self._issuer}/.well-known/jwks.json"
        self._fetch = fetch or _fetch
        self._keys: Mapping[str, JsonObject] = {}
        self._fetched_at = float("-inf")

    async def authenticate(self, token: str) -> Actor | None:
        """The user that the token names; `None` for a token that is not valid, or that names no tenant.

        The tenant and the role come from `app_metadata`, which users cannot write; no role means viewer.
        """
        import jwt

        try:
            if len(token) > MAX_TOKEN_CHARACTERS:
                return None
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid") or ""))
            if key is None:
                return None
            signing = jwt.PyJWK(key, _ALGORITHMS[key["kty"]])
            claims = jwt.decode(
                token,
                signing.key,
                algorithms=[_ALGORITHMS[key["kty"]]],
                audience="authenticated",
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, KeyError):
            return None
        return _actor(claims)

    async def _key(self, kid: str) -> JsonObject | None:
        age = time.monotonic() - self._fetched_at
        if age > CACHE_SECONDS or (kid not in self._keys and age > REFETCH_SECONDS):
            found = await self._fetch(self._url)
            keys = found.get("keys") or []
            self._keys = {str(key.get("kid") or ""): key for key in keys if key.get("kty") in _ALGORITHMS}
            self._fetched_at = time.monotonic()
        return self._keys.get(kid)


def _actor(claims: Mapping[str, Any]) -> Actor | None:
    metadata = claims.get("app_metadata")
    if claims.get("role") != "authenticated" or not isinstance(metadata, dict):
        return None
    tenant_id, role = str(metadata.get("tenant_id") or "").lower(), metadata.get("role", "viewer")
    if not is_uuid(tenant_id) or role not in ROLES:
        return None
    return Actor(tenant_id, f"user:{claims['sub']}", role)


async def _fetch(url: str) -> JsonObject:
    import httpx

    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        answer = await client.get(url)
        answer.raise_for_status()
        found: JsonObject = answer.json()
        return found
