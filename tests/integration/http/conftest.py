"""The functions in this process, over the real Supabase gateway, Postgres and Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.gateway import SupabaseGateway
from local.redis import RedisServer
from tests.integration.http.client import Client
from tests.integration.wiring import environment, wired


@pytest.fixture(scope="module")
def api(supabase_gateway: SupabaseGateway, redis_server: RedisServer) -> Iterator[SupabaseGateway]:
    """Points the functions at the servers."""
    with wired(environment(supabase_gateway, redis_server, PUBLIC_URL="http://api.test", LOG_LEVEL="CRITICAL")):
        yield supabase_gateway


@pytest.fixture
def client(api: SupabaseGateway) -> Client:
    """A new tenant's administrator."""
    return Client()
