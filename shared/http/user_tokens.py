"""Supabase user tokens: JWTs signed with ES256 or RS256, checked against the project's published keys.

The project's key set is cached for ten minutes; a token with an unknown key id has it fetched again. It is fetched at
most every ten seconds, even after a failure; while it cannot be fetched, the last copy is valid for a day. Source: https://supabase.com/docs/guides/auth/jwts
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from shared.domain.actor import ROLES, Actor
from shared.errors import UnavailableError
from shared.ids import is_uuid
from shared.json_types import JsonMapping, JsonObject
from shared.settings import Settings

CACHE_SECONDS = 600.0
REFETCH_SECONDS = 10.0
# How long the last copy is valid while the key set cannot be fetched.
STALE_SECONDS = 86_400.0
LEEWAY_SECONDS = 30
TIMEOUT_SECONDS = 3.0
MAX_TOKEN_CHARACTERS = 8192
# The key's type decides the algorithm, never the token's header.
_ALGORITHMS = {"EC": "ES256", "RSA": "RS256"}


logger = logging.getLogger(__name__)


class UserTokens:
    """Verifies the tokens of one Supabase project."""

    def __init__(self, settings: Settings, fetch: Callable[[str], Awaitable[JsonObject]] | None = None) -> None:
        """The issuer is `{supabase_url}/auth/v1`, its keys are at `jwks_url` or below the issuer."""
        self._issuer = f"{settings.supabase_url}/auth/v1"
        self._url = settings.jwks_url or f"{self._issuer}/.well-known/jwks.json"
        self._fetch = fetch or _fetch
        self._keys: Mapping[str, JsonObject] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def authenticate(self, token: str) -> Actor | None:
        """The token's user; `None` for an invalid token, or one without a tenant. Raises `UnavailableError` while its
        key cannot be looked up.

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
        """The key of this id; `None` for an unknown id. Raises `UnavailableError` without a valid key set."""
        # An unknown id may be a key that was added since.
        if self._age() > CACHE_SECONDS or kid not in self._keys:
            await self._refresh()
        is_current = self._asked_at <= self._fetched_at
        if kid in self._keys and (is_current or self._age() <= STALE_SECONDS):
            return self._keys[kid]
        if is_current:
            return None
        raise UnavailableError("The keys of user tokens cannot be read just now; try again.")

    def _age(self) -> float:
        return time.monotonic() - self._fetched_at

    async def _refresh(self) -> None:
        """Fetches the key set, unless that was tried within `REFETCH_SECONDS`. Concurrent callers share one fetch."""
        async with self._asking:
            # Also for those that waited for the lock meanwhile: they use what the fetch before them has brought.
            if time.monotonic() - self._asked_at <= REFETCH_SECONDS:
                return
            # Before the fetch, so that one that fails or is cancelled counts too. `_key` sees a failure by it: it is
            # later than `_fetched_at` then.
            self._asked_at = time.monotonic()
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    self._keys = _usable(await self._fetch(self._url))
            except (UnavailableError, TimeoutError, ValueError):
                logger.warning("user_token_keys_unavailable", exc_info=True)
            else:
                self._fetched_at = time.monotonic()


def _usable(key_set: JsonObject) -> dict[str, JsonObject]:
    """The keys of a set with a supported type, by id; a malformed set raises `ValueError`."""
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ValueError("This is no key set.")
    return {str(key.get("kid") or ""): key for key in keys if key.get("kty") in _ALGORITHMS}


def _actor(claims: JsonMapping) -> Actor | None:
    metadata = claims.get("app_metadata")
    if claims.get("role") != "authenticated" or not isinstance(metadata, dict):
        return None
    tenant_id, role = str(metadata.get("tenant_id") or "").lower(), metadata.get("role", "viewer")
    if not is_uuid(tenant_id) or role not in ROLES:
        return None
    return Actor(tenant_id, f"user:{claims['sub']}", role, expires_at=float(claims["exp"]) + LEEWAY_SECONDS)


async def _fetch(url: str) -> JsonObject:
    """The key set at `url`. Raises `UnavailableError`, and `ValueError` for malformed JSON."""
    import httpx

    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            answer = (await client.get(url)).raise_for_status()
            key_set: JsonObject = answer.json()
            return key_set
    except httpx.HTTPError as error:
        raise UnavailableError from error
