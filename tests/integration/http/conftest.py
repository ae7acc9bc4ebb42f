"""The functions in this process, over the real Supabase gateway, Postgres and Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.redis import RedisServer
from local.stack.tokens import LocalKeys
from shared.bootstrap import Services
from shared.ids import new_id
from shared.json_types import JsonObject
from tests.integration import wiring
from tests.integration.http.client import Client
from tests.integration.http.graphs import DOUBLING


@pytest.fixture(scope="package")
def supabase_gateway(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseGateway]:
    """A gateway over a database of this folder's own: in it, every row must follow from the events."""
    folder = tmp_path_factory.mktemp("api")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def wired(supabase_gateway: SupabaseGateway, redis_server: RedisServer) -> Iterator[Services]:
    """What the functions work with: this run's servers, and a queue of the module's own."""
    environment = wiring.environment(
        supabase_gateway,
        redis_server,
        QUEUE_NAME=f"api-{new_id()}",
        PUBLIC_URL="http://api.test",
        LOG_LEVEL="CRITICAL",
    )
    with wiring.wired(environment) as found:
        yield found


@pytest.fixture(scope="module")
def api(wired: Services, supabase_gateway: SupabaseGateway) -> SupabaseGateway:  # wired: the functions know the servers
    """The gateway of the servers that the functions are pointed at."""
    return supabase_gateway


@pytest.fixture
def client(wired: Services) -> Client:
    """A new tenant's administrator."""
    return Client()


@pytest.fixture
def workflow(client: Client) -> JsonObject:
    """The client's published workflow, which a webhook or a hand can start."""
    created = client.request("POST", "/api/workflows", DOUBLING)
    assert created.status == 201, created
    published = client.request("POST", f"/api/workflows/{created.json['id']}/publish")
    assert published.status == 200, published
    found: JsonObject = created.json
    return found
