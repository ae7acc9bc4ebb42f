"""Facts about API keys (stream type `api_key`). The key itself is nowhere; its hash is in the row alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiKeyCreated:
    """A key was issued with a role (viewer, editor, admin) and scopes; `expires_at` unset means it does not expire."""

    name: str
    role: str
    scopes: list[str]
    expires_at: str | None


@dataclass(frozen=True, slots=True)
class ApiKeyRevoked:
    """The key was revoked: it is refused from now on."""


ApiKeyFact = ApiKeyCreated | ApiKeyRevoked
