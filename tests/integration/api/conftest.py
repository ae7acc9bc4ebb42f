"""The functions in this process, over the real Supabase gateway, Postgres and Redis."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.gateway import SupabaseGateway
from local.redis import RedisServer
from local.tokens import LocalKeys
from shared.commands.services import Services, services
from shared.ids import new_id
from shared.repositories import database
from shared.runtime import run
from shared.settings import settings
from tests.integration.api.graphs import DOUBLING
from tests.integration.http.client import Client


@pytest.fixture(scope="package")
def supabase_gateway(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseGateway]:
    """A gateway over a database of this folder's own: in it, every row must follow from the events."""
    folder = tmp_path_factory.mktemp("api")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="package")
def wired(supabase_gateway: SupabaseGateway, redis_server: RedisServer) -> Iterator[Services]:
    """What the functions work with: this run's servers, and a queue of its own."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SUPABASE_URL", supabase_gateway.url)
        environment.setenv("SUPABASE_KEY", supabase_gateway.service_key)
        environment.setenv("REDIS_HOST", "127.0.0.1")
        environment.setenv("REDIS_PORT", str(redis_server.port))
        environment.setenv("QUEUE_NAME", f"api-{new_id()}")
        environment.setenv("SECRETS_KEY", base64.b64encode(bytes(32)).decode())
        environment.setenv("PUBLIC_URL", "http://api.test")
        environment.delenv("DRAIN_FUNCTION_NAME", raising=False)
        _forget()
        found = services()
        yield found
        for each in (found, services()):  # a test of outages has made them anew
            run(each.queue.close())
            run(each.database.close())
    _forget()


def _forget() -> None:
    settings.cache_clear()
    services.cache_clear()
    database._database = None


@pytest.fixture
def client(wired: Services) -> Client:
    """A new tenant's administrator."""
    return Client()


@pytest.fixture
def workflow(client: Client) -> dict[str, Any]:
    """The client's published workflow, which a webhook or a hand can start."""
    created = client.request("POST", "/api/workflows", DOUBLING)
    assert created.status == 201, created
    published = client.request("POST", f"/api/workflows/{created.json['id']}/publish")
    assert published.status == 200, published
    found: dict[str, Any] = created.json
    return found
