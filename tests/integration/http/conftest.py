"""The functions in this process, over the real Supabase gateway, Postgres and Redis."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator

import pytest

from local.gateway import SupabaseGateway
from local.redis import RedisServer
from shared.commands.services import services
from shared.repositories import database
from shared.runtime import run
from shared.settings import settings
from tests.integration.http.client import Client


@pytest.fixture(scope="package")
def api(supabase_gateway: SupabaseGateway, redis_server: RedisServer) -> Iterator[SupabaseGateway]:
    """Points the functions at the servers: the environment, read once per process, is theirs until the last test."""
    environment = {
        "SUPABASE_URL": supabase_gateway.url,
        "SUPABASE_KEY": supabase_gateway.service_key,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(redis_server.port),
        "SECRETS_KEY": base64.b64encode(bytes(32)).decode(),
        "PUBLIC_URL": "http://api.test",
        "LOG_LEVEL": "CRITICAL",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    _forget()
    yield supabase_gateway
    run(services().close())
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    _forget()


def _forget() -> None:
    settings.cache_clear()
    services.cache_clear()
    database._database = None


@pytest.fixture
def client(api: SupabaseGateway) -> Client:
    """A new tenant's administrator."""
    return Client()
