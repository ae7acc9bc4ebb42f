"""The shapes of answers under /api/secrets."""

from __future__ import annotations

from shared.http.views.common import Time, View


class SecretView(View):
    """A secret, without its value."""

    name: str
    created_at: Time
    updated_at: Time


class SecretPage(View):
    """A page of secrets."""

    items: list[SecretView]
    next_cursor: str | None
