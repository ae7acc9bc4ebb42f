"""The functions in this process, over the real Supabase gateway, Postgres and Redis."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from local.gateway import SupabaseGateway
from local.redis import RedisServer
from tests.integration.http.client import Client
from tests.integration.wiring import wired


@pytest.fixture(scope="module")
def api(supabase_gateway: SupabaseGateway, redis_server: RedisServer) -> Iterator[SupabaseGateway]:
    """Points the functions at the servers."""
    environment = {
        "SUPABASE_URL": supabase_gateway.url,
        "SUPABASE_KEY": supabase_gateway.service_key,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_server.port),
        "SECRETS_KEY": base64.b64encode(bytes(32)).decode(),
        "PUBLIC_URL": "http://api.test",
        "LOG_LEVEL": "CRITICAL",
    }
    with wired(environment):
        yield supabase_gateway


@pytest.fixture
def client(api: SupabaseGateway) -> Client:
    """A new tenant's administrator."""
    return Client()
