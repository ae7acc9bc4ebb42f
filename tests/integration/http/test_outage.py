"""What callers are told while Supabase or Redis cannot be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.stack.process import free_port
from shared.bootstrap import Services
from shared.ids import new_id
from tests.integration import wiring
from tests.integration.http.client import Client
from tests.integration.http.graphs import DOUBLING


@pytest.fixture
def unreachable(wired: Services, request: pytest.FixtureRequest) -> Iterator[None]:
    """The functions with these variables of their environment pointing where nobody listens."""
    with wiring.wired({name: value.format(free_port()) for name, value in request.param.items()}):
        yield


without_supabase = pytest.mark.parametrize("unreachable", [{"SUPABASE_URL": "http://127.0.0.1:{}"}], indirect=True)
without_redis = pytest.mark.parametrize("unreachable", [{"REDIS_PORT": "{}"}], indirect=True)


@without_supabase
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/webhooks", None),
        ("POST", f"/api/workflows/{new_id()}/execute", {}),
        ("GET", f"/api/executions/{new_id()}", None),
        ("POST", f"/api/executions/{new_id()}/cancel", {}),
        ("GET", "/api/events", None),
    ],
    ids=["list", "execute", "get", "cancel", "feed"],
)
def test_without_supabase_callers_are_told_to_try_again(
    unreachable: None, client: Client, method: str, path: str, body: Any
) -> None:
    """Nothing is known and nothing can be written: 503 with Retry-After."""
    answer = client.request(method, path, body)
    assert (answer.status, answer.code) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0


@without_redis
def test_without_redis_the_api_works(unreachable: None, client: Client) -> None:
    """Redis is not the source of truth: workflows, webhooks and runs are written and read without it."""
    workflow = client.request("POST", "/api/workflows", DOUBLING).json["id"]
    assert client.request("POST", f"/api/workflows/{workflow}/publish").status == 200
    body = {"name": "w", "workflow_id": workflow, "provider": "github"}
    webhook = client.request("POST", "/api/webhooks", body)
    assert webhook.status == 201
    assert client.request("PUT", f"/api/webhooks/{webhook.json['id']}", {**body, "status": "paused"}).status == 200
    run_id = client.request("POST", f"/api/workflows/{workflow}/execute").json["execution_id"]
    assert client.request("GET", f"/api/executions/{run_id}").json["status"] == "queued"
    assert client.request("POST", f"/api/executions/{run_id}/cancel").status == 200


@without_redis
def test_without_redis_an_unknown_run_may_yet_be_queued(unreachable: None, client: Client) -> None:
    """A run without events may be a delivery in the queue: whether it is there, nobody can say just now."""
    answer = client.request("GET", f"/api/executions/{new_id()}")
    assert (answer.status, answer.code) == (503, "queue_unavailable")
