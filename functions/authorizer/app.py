"""Lambda authorizer of the HTTP API (payload 2.0, simple response): `Authorization: Bearer <API key or user token>`."""

from __future__ import annotations

import time
from functools import cache

from shared.bootstrap import services
from shared.commands.api_keys.use_api_key import use_api_key
from shared.domain.actor import Actor
from shared.domain.api_key_format import PREFIX
from shared.http.auth import context_of
from shared.http.user_tokens import UserTokens
from shared.json_types import JsonObject
from shared.observability import begin, edge_logger
from shared.platform.deadline import within
from shared.platform.runtime import run
from shared.platform.snapstart import modules, prepare
from shared.settings import settings

# The timeout of a key's look-up: the request itself still has to be served within API Gateway's 30 seconds.
KEY_SECONDS = 5.0

logger = edge_logger("authorizer")
prepare(modules("httpx", "jwt", "postgrest"), lambda: services().close())


def handler(event: JsonObject, _context: object) -> JsonObject:
    """`{isAuthorized, context}`. Denies only credentials that are known to be invalid, since API Gateway caches denials
    like permissions. While that cannot be known it raises, which API Gateway answers with 500 and does not cache."""
    begin("authorizer", event)
    try:
        actor = run(authenticate(credentials_in(event)))
    except Exception:  # the edge: fails closed, and says so
        logger.exception("authorizer_failed")
        raise
    if actor is None:
        return {"isAuthorized": False}
    return {"isAuthorized": True, "context": context_of(actor)}


def credentials_in(event: JsonObject) -> str:
    """The bearer token of the request (RFC 6750: the scheme in any case); empty without one."""
    headers = event.get("headers") or {}
    scheme, _, token = str(headers.get("authorization") or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def authenticate(token: str) -> Actor | None:
    """The caller with this token; `None` for an invalid one. Raises `UnavailableError` while that cannot be known."""
    if not token:
        return None
    if token.startswith(PREFIX):
        with within(KEY_SECONDS):
            return await use_api_key(services().api_keys, token, time.time())
    return await user_tokens().authenticate(token)


@cache
def user_tokens() -> UserTokens:
    """This process's verifier, which caches the project's keys."""
    return UserTokens(settings())
