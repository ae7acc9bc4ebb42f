"""Two tenants with real keys on the running stack: nothing of the one is there for the other, on any route."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.stack.stack import LocalStack
from shared.json_types import JsonObject
from tests.e2e.clients import client_of

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
OPERATIONS = [
    pytest.param(method.upper(), path, operation, id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    # A secret's name is no id: setting one that another tenant has is setting one's own.
    if operation["security"] and "{" in path and operation["operationId"] != "set_secret"
]
WORKFLOW = {
    "name": "mine",
    "nodes": [{"id": "hook", "type": "webhook_trigger"}, {"id": "hand", "type": "manual_trigger"}],
    "edges": [],
}


@pytest.fixture(scope="module")
def owner(stack: LocalStack) -> Iterator[httpx.Client]:
    """The first tenant's administrator."""
    with client_of(stack, stack.new_tenant("owner").api_key) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(stack: LocalStack) -> Iterator[httpx.Client]:
    """Another tenant's administrator, who may do everything to what is theirs."""
    with client_of(stack, stack.new_tenant("stranger").api_key) as client:
        yield client


@pytest.fixture(scope="module")
def things(owner: httpx.Client) -> dict[str, str]:
    """One of everything that the first tenant can have, by the path it lives under."""
    workflow = owner.post("/api/workflows", json=WORKFLOW).json()["id"]
    assert owner.post(f"/api/workflows/{workflow}/publish").status_code == 200
    body = {"name": "hook", "workflow_id": workflow, "provider": "github", "secret": "s3cret"}
    webhook = owner.post("/api/webhooks", json=body).json()
    api_key = owner.post("/api/api-keys", json={"name": "key", "role": "viewer"}).json()["id"]
    secret = {"value": "the first tenant's", "allowed_hosts": ["*"]}
    assert owner.put("/api/secrets/approval", json=secret).status_code == 200
    delivered = deliver(owner, webhook["id"], "s3cret")
    wait_for(lambda: owner.get(f"/api/webhooks/{webhook['id']}/deliveries").json()["items"])
    return {
        "secrets": "approval",
        "workflows": workflow,
        "webhooks": webhook["id"],
        "executions": delivered["execution_id"],
        "api-keys": api_key,
        "delivery_id": delivered["delivery_id"],
        "webhook body": json.dumps(body),
    }


def deliver(client: httpx.Client, webhook_id: str, secret: str) -> JsonObject:
    """The answer to a signed GitHub delivery."""
    content = b'{"ref": "refs/heads/main"}'
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest(),
    }
    answer = client.post(f"/webhooks/{webhook_id}/github", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    body: JsonObject = answer.json()
    return body


def wait_for(condition: Any) -> None:
    """Returns when the condition holds; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_another_tenants_id_is_not_found(
    stranger: httpx.Client, owner: httpx.Client, things: dict[str, str], method: str, path: str, operation: Any
) -> None:
    """With another tenant's key, each route answers for each id of the first tenant as if there were none."""
    ids = {"id": things[path.split("/")[2]], "delivery_id": things["delivery_id"], "version": "1", "name": "approval"}
    body = None
    if "requestBody" in operation:
        of_webhook = json.loads(things["webhook body"])
        bodies = {
            "update_workflow": WORKFLOW,
            "update_webhook": of_webhook,
            "fork_execution": {"from_node": "start"},
            "replay_execution": {"mode": "dry_run"},
        }
        body = bodies.get(operation["operationId"], {})
    answer = stranger.request(method, path.format(**ids), json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    if method == "GET":
        assert owner.get(path.format(**ids)).status_code == 200


@pytest.mark.parametrize("path", ["workflows", "webhooks", "executions", "events"])
def test_lists_hold_nothing_of_another_tenant(stranger: httpx.Client, things: dict[str, str], path: str) -> None:
    """A stranger's lists do not mention anything of the first tenant."""
    text = stranger.get(f"/api/{path}").text
    assert [name for name, value in things.items() if value in text] == []
