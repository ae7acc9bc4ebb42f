"""The base URL of this API."""

from __future__ import annotations

from collections.abc import Mapping

from shared.json_types import JsonMapping
from shared.settings import settings


def base_url(event: JsonMapping) -> str:
    """PUBLIC_URL where it is set, else the request's domain; without a slash at the end."""
    configured = settings().public_url
    if configured:
        return configured
    headers: Mapping[str, str] = event.get("headers") or {}
    domain = (event.get("requestContext") or {}).get("domainName") or headers.get("host", "localhost")
    return f"{headers.get('x-forwarded-proto', 'https')}://{domain}"
