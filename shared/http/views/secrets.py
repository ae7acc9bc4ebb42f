"""The shapes of answers under /api/secrets."""

from __future__ import annotations

from shared.http.views.common import Time, View


class SecretView(View):
    """A secret, without its value. `allowed_hosts` are the hosts that it may be sent to; `null` where it was set before
    there were such lists, and may be sent to every host until it has one."""

    name: str
    allowed_hosts: list[str] | None
    created_at: Time
    updated_at: Time


class SecretPage(View):
    """A page of secrets."""

    items: list[SecretView]
    next_cursor: str | None
