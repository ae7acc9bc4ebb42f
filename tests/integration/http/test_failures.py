"""What the API does when the servers behind it do not answer, and when it is itself at fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from shared.bootstrap import Services, services
from shared.http.api import Api
from shared.http.operations.health import GET_HEALTH
from shared.http.request import Request
from shared.http.responses import Response
from shared.platform.runtime import run
from shared.queue.connection import connect
from shared.settings import Settings
from tests.integration.http.client import Client, event
from tests.integration.http.graphs import draft


@pytest.fixture
def without_redis(api: object) -> Iterator[Services]:
    """The process's services with a Redis that nobody serves."""
    found = services()
    before = (found.redis, found.config_cache)
    nowhere = Settings(supabase_url="http://127.0.0.1:9", supabase_key="unused", redis_port=9)
    dead: Redis = connect(nowhere)
    found.redis = dead
    del found.config_cache
    yield found
    run(dead.aclose())
    found.redis, found.config_cache = before


def test_publish_writes_through_to_redis(client: Client) -> None:
    """Intake learns of a published version, and of its webhooks' state, at the next delivery."""
    path = client.request("POST", "/api/workflows", draft()).headers["location"]
    workflow = path.rsplit("/", 1)[1]
    body = {"name": "hook", "workflow_id": workflow, "provider": "github", "secret": "It's a secret to everybody"}
    webhook = client.request("POST", "/api/webhooks", body).json["id"]
    for verb, version in (("publish", 1), ("unpublish", 0)):
        client.request("POST", f"{path}/{verb}")
        assert run(services().config_cache.published_versions([workflow])) == {workflow: version}
        remembered = run(services().config_cache.webhook_config(webhook))
        assert remembered.config is not None
        assert remembered.config["published"] is (version > 0)
    client.request("POST", f"{path}/publish")
    client.request("DELETE", path)
    assert run(services().config_cache.published_versions([workflow])) == {workflow: 0}


def test_publish_succeeds_without_redis(without_redis: Services, client: Client) -> None:
    """Redis only hints: what is committed has succeeded."""
    path = client.request("POST", "/api/workflows", draft()).headers["location"]
    assert client.request("POST", f"{path}/publish").status == 200
    assert client.request("POST", f"{path}/unpublish").status == 200
    assert client.request("DELETE", path).status == 204


def test_a_fault_of_ours_is_a_500_that_tells_nothing(api: object) -> None:
    """Whatever a handler raises, the answer is a problem without the reason, and the gateway gets no exception."""

    async def fail(_request: Request) -> Response:
        raise KeyError("the password is swordfish")

    broken = Api("broken", (GET_HEALTH, fail))
    sent = event("GET", "/health", None, {}, "") | {"routeKey": "GET /health"}
    answer = broken.handler(sent, None)
    assert answer["statusCode"] == 500
    assert '"code":"internal_error"' in answer["body"]
    assert "swordfish" not in answer["body"]


def test_storage_out_of_reach_is_a_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and writes say that it is worth trying again, and when."""
    database = services().database
    run(database.close())
    monkeypatch.setattr(database, "_url", "http://127.0.0.1:9")
    for method, body in (("GET", None), ("POST", draft())):
        answer = client.request(method, "/api/workflows", body)
        assert (answer.status, answer.code) == (503, "storage_unavailable")
        assert answer.headers["retry-after"] == "1"
    run(database.close())


def test_no_route_is_a_problem(api: object) -> None:
    """A function that is asked for a path it does not know says so."""
    from functions.workflows.app import handler

    answer = handler(event("GET", "/api/else", None, {}, ""), None)
    assert (answer["statusCode"], '"code":"not_found"' in answer["body"]) == (404, True)
