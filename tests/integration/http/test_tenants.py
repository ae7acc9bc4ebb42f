"""Tenants do not see each other: every operation of the OpenAPI document, tried by a stranger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.tokens import LocalKeys
from shared.bootstrap import services
from shared.commands.new_events import new_events, now
from shared.domain.actor import Actor
from shared.events.execution import ExecutionQueued
from shared.http.openapi import document
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.repositories.append import Append
from tests.integration.http.client import Client
from tests.integration.http.graphs import draft


@pytest.fixture(scope="module")
def supabase_gateway(
    new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SupabaseGateway]:
    """A gateway over a database of this module's own: it leaves rows that no event implies."""
    folder = tmp_path_factory.mktemp("own")
    gateway = SupabaseGateway(new_database(), LocalKeys.of(folder), folder / "gateway.log").start()
    yield gateway
    gateway.stop()


# Bodies with which an operation would succeed; operations that are not here take none.
BODIES: JsonObject = {
    "update_workflow": draft("stolen"),
    "execute_workflow": {"input": {}},
    "fork_execution": {"from_node": "hand"},
    "replay_execution": {"mode": "live"},
    "update_webhook": {"name": "stolen", "provider": "generic_hmac"},
}
OPERATIONS = [
    (method, path, operation)
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
    if operation["security"]
]
# A secret's name is no id: setting one that another tenant has is setting one's own (see test_secrets.py).
WITH_IDS = [entry for entry in OPERATIONS if "{" in entry[1] and entry[2]["operationId"] != "set_secret"]
# Providers are everybody's; what broke a promise, of which there is nothing here, has a test of its own (test_health).
NO_LISTS = ("/api/webhook-providers", "/api/invariants")
LISTS = [
    (method, path, operation)
    for method, path, operation in OPERATIONS
    if method == "get" and "{" not in path and path not in NO_LISTS
]


def names(entry: Any) -> str:
    """The operation's id, for the test's name."""
    return str(entry["operationId"]) if isinstance(entry, dict) else ""


@pytest.fixture(scope="module")
def owner(api: object) -> Client:
    """The first tenant."""
    return Client()


@pytest.fixture(scope="module")
def ids(owner: Client) -> dict[str, str]:
    """One of each of the first tenant's things: path prefix → its id, and the delivery's under its own name."""
    workflow = owner.request("POST", "/api/workflows", draft()).json["id"]
    assert owner.request("POST", f"/api/workflows/{workflow}/publish").status == 200
    body = {"name": "hook", "workflow_id": workflow, "provider": "generic_hmac"}
    webhook = owner.request("POST", "/api/webhooks", body)
    assert webhook.status == 201, webhook.text
    execution = owner.request("POST", f"/api/workflows/{workflow}/execute", {"input": 1})
    assert execution.status == 202, execution.text
    api_key = owner.request("POST", "/api/api-keys", {"name": "key"}).json["id"]
    secret = {"value": "the first tenant's", "allowed_hosts": ["*"]}
    assert owner.request("PUT", "/api/secrets/go", secret).status == 200
    found = {
        "/api/secrets": "go",
        "/api/workflows": workflow,
        "/api/webhooks": webhook.json["id"],
        "/api/executions": execution.json["execution_id"],
        "/api/api-keys": api_key,
    }
    return {**found, "delivery_id": delivered(owner, workflow, webhook.json["id"])}


def delivered(owner: Client, workflow: str, webhook: str) -> str:
    """The id of a delivery in the delivery log, written as the drain does, with its run."""
    execution, delivery, happened_at = new_id(), new_id(), now()
    fact = ExecutionQueued(workflow, 1, {"type": "webhook", "node_id": "hook", "body": {}, "headers": {}, "query": {}})
    row = {
        "id": delivery,
        "tenant_id": owner.tenant_id,
        "webhook_id": webhook,
        "received_at": happened_at,
        "verdict": "accepted",
        "execution_id": execution,
        "headers": {},
        "body_sha256": "0" * 64,
        "size_bytes": 2,
    }
    append = Append(
        tenant_id=owner.tenant_id,
        stream_id=execution,
        stream_type="execution",
        expected_version=0,
        events=new_events(Actor(owner.tenant_id, "test", "admin"), happened_at, fact),
        deliveries=(row,),
    )
    run(services().events.append_one(append))
    return delivery


def filled(path: str, ids: dict[str, str]) -> str:
    """The path with the first tenant's ids."""
    prefix = "/".join(path.split("/")[:3])
    values = {"id": ids[prefix], "delivery_id": ids["delivery_id"], "version": "1", "name": "go"}
    return path.format(**values)


@pytest.mark.parametrize(("method", "path", "operation"), WITH_IDS, ids=names)
def test_every_id_of_another_tenant_is_not_found(
    ids: dict[str, str], method: str, path: str, operation: JsonObject
) -> None:
    """A stranger's administrator gets the same 404 for a thing of another tenant as for one that does not exist."""
    body = BODIES.get(operation["operationId"])
    if operation["operationId"] == "update_webhook":
        body = {**body, "workflow_id": ids["/api/workflows"]}
    stranger = Client()
    answer = stranger.request(method.upper(), filled(path, ids), body)
    assert (answer.status, answer.code) == (404, "not_found"), answer.text
    nobodys = dict.fromkeys(ids, new_id())
    assert stranger.request(method.upper(), filled(path, nobodys), body).text == answer.text


@pytest.mark.parametrize("path", [path for method, path, _ in WITH_IDS if method == "get"])
def test_the_owner_finds_what_the_stranger_did_not(owner: Client, ids: dict[str, str], path: str) -> None:
    """The ids are right: reading them as their owner works."""
    assert owner.request("GET", filled(path, ids)).status == 200


@pytest.mark.parametrize(("method", "path", "operation"), LISTS, ids=names)
def test_no_list_shows_another_tenants_things(
    owner: Client, ids: dict[str, str], method: str, path: str, operation: JsonObject
) -> None:
    """A new tenant's lists are empty, and its owner's are not."""
    # The feed shows an event once every transaction before it has ended.
    deadline = time.monotonic() + 5
    while not (items := owner.request("GET", path).json["items"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert items
    assert Client().request("GET", path).json["items"] == []


def test_another_tenants_workflow_cannot_be_named_in_a_body(ids: dict[str, str]) -> None:
    """A webhook for another tenant's workflow is refused as for one that does not exist."""
    stranger = Client()
    answers = [
        stranger.request("POST", "/api/webhooks", {"name": "x", "workflow_id": workflow, "provider": "generic_hmac"})
        for workflow in (ids["/api/workflows"], new_id())
    ]
    assert {answer.status for answer in answers} <= {400, 404, 422}
    assert answers[0].text.replace(ids["/api/workflows"], "") == answers[0].text
    assert answers[0].code == answers[1].code
