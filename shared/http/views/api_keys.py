"""The shapes of answers under /api/api-keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.actor import Role, Scope
from shared.http.views.common import Id, Time, View


class ApiKeyView(View):
    """An API key, without the key."""

    id: Id
    name: str
    role: Role
    scopes: Annotated[list[Scope], Field(description="None means everything that the role allows.")]
    expires_at: Time | None
    last_used_at: Annotated[Time | None, Field(description="Up to an hour behind; null where it never was.")]
    created_at: Time


class CreatedApiKeyView(ApiKeyView):
    """An API key with the key, which is shown this once."""

    key: str


class ApiKeyPage(View):
    """A page of API keys."""

    items: list[ApiKeyView]
    next_cursor: str | None
