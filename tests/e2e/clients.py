"""Clients of the running stack."""

from __future__ import annotations

import httpx

from local.stack.stack import LocalStack


def client_of(stack: LocalStack, api_key: str) -> httpx.Client:
    """A client that signs its requests with this key."""
    return httpx.Client(base_url=stack.api_url, headers={"Authorization": f"Bearer {api_key}"}, timeout=30)
