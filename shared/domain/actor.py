"""The authenticated caller, its tenant, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# From the least to the most privileged: each may do what those before it may.
Role = Literal["viewer", "editor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

# A scope narrows a key to a part of the API; reading and writing are separate.
Scope = Literal[
    "workflows:read",
    "workflows:write",
    "webhooks:read",
    "webhooks:write",
    "executions:read",
    "executions:write",
    "events:read",
    "api_keys:read",
    "api_keys:write",
    "secrets:read",
    "secrets:write",
]


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller as the authorizer identified it.

    `name` is `api_key:<id>` or `user:<id>`; it is in the metadata of every event that the caller causes. No `scopes`
    means everything that the role allows. `expires_at` (Unix seconds) is when its credentials end; unset, that they do
    not.
    """

    tenant_id: str
    name: str
    role: Role
    scopes: frozenset[str] = frozenset()
    expires_at: float | None = None

    def may(self, role: Role, scope: str | None) -> bool:
        """Whether the caller has at least this role and, where its scopes are limited, this scope."""
        enough = ROLES.index(self.role) >= ROLES.index(role)
        return enough and (scope is None or not self.scopes or scope in self.scopes)
