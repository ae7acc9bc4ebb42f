"""The caller of a request, from the authorizer's context alone: never from the body, path or headers."""

from __future__ import annotations

import time

from shared.domain.actor import ROLES, Actor, Role
from shared.errors import ForbiddenError, UnauthorizedError
from shared.ids import is_uuid
from shared.json_types import JsonMapping


def context_of(actor: Actor) -> dict[str, str]:
    """The authorizer's context for an actor, which `actor_of` reads back."""
    context = {
        "tenant_id": actor.tenant_id,
        "actor": actor.name,
        "role": actor.role,
        "scopes": " ".join(sorted(actor.scopes)),
    }
    return context if actor.expires_at is None else {**context, "expires_at": str(actor.expires_at)}


def actor_of(event: JsonMapping) -> Actor:
    """The caller in `requestContext.authorizer.lambda`.

    Raises `UnauthorizedError` for an incomplete context: the request has not passed the authorizer; and for credentials
    that have expired since: API Gateway keeps the authorizer's answer for a minute, and does not know when they end.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    context = authorizer.get("lambda") or {}
    tenant_id, name, role, scopes = (str(context.get(key) or "") for key in ("tenant_id", "actor", "role", "scopes"))
    if not is_uuid(tenant_id) or not name or role not in ROLES:
        raise UnauthorizedError
    expires_at = _unix_seconds(context.get("expires_at"))
    if expires_at is not None and expires_at <= time.time():
        raise UnauthorizedError
    return Actor(tenant_id, name, role, frozenset(scopes.split()), expires_at)


def _unix_seconds(text: object) -> float | None:
    if text is None:
        return None
    try:
        return float(str(text))
    except ValueError as error:
        raise UnauthorizedError from error


def authorise(actor: Actor, role: Role, scope: str | None) -> None:
    """Raises `ForbiddenError`, with the reason, where the caller lacks this role or scope."""
    if actor.may(role, scope):
        return
    if actor.may(role, None):
        raise ForbiddenError(f"This needs the scope {scope}, which these credentials do not have.")
    raise ForbiddenError(f"This needs the role {role}; these credentials have the role {actor.role}.")
