"""The caller of a request, from the authorizer's context alone: never from the body, path or headers."""

from __future__ import annotations

from shared.domain.actor import ROLES, Actor, Role
from shared.errors import ForbiddenError, UnauthorizedError
from shared.ids import is_uuid
from shared.json_types import JsonMapping


def context_of(actor: Actor) -> dict[str, str]:
    """The authorizer's context for an actor, which `actor_of` reads back."""
    return {
        "tenant_id": actor.tenant_id,
        "actor": actor.name,
        "role": actor.role,
        "scopes": " ".join(sorted(actor.scopes)),
    }


def actor_of(event: JsonMapping) -> Actor:
    """The caller in `requestContext.authorizer.lambda`.

    Raises `UnauthorizedError` for an incomplete context: the request has not passed the authorizer.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    context = authorizer.get("lambda") or {}
    tenant_id, name, role, scopes = (str(context.get(key) or "") for key in ("tenant_id", "actor", "role", "scopes"))
    if not is_uuid(tenant_id) or not name or role not in ROLES:
        raise UnauthorizedError
    return Actor(tenant_id, name, role, frozenset(scopes.split()))


def authorise(actor: Actor, role: Role, scope: str | None) -> None:
    """Raises `ForbiddenError`, with the reason, where the caller lacks this role or scope."""
    if actor.may(role, scope):
        return
    if actor.may(role, None):
        raise ForbiddenError(f"This needs the scope {scope}, which these credentials do not have.")
    raise ForbiddenError(f"This needs the role {role}; these credentials have the role {actor.role}.")
