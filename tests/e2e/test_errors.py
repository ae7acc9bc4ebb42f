"""Every error of the public contract, provoked on the running stack."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from local.stack.stack import LocalStack
from shared.ids import new_id
from shared.json_types import JsonObject

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
WITH_BODIES = [
    pytest.param(method.upper(), path, id=operation["operationId"])
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if operation["security"] and "requestBody" in operation
]
NODES = [{"id": "hook", "type": "webhook_trigger"}, {"id": "hand", "type": "manual_trigger"}]
WORKFLOW: JsonObject = {"name": "errors", "nodes": NODES, "edges": []}
SECRET = "s3cret"
MALFORMED = {
    "not JSON": b'{"name": ',
    "not UTF-8": b'{"name": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "NaN": b'{"name": NaN}',
    "NUL": b'{"name": "a\\u0000b"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
    "an unknown field": b'{"no_such_field": 1}',
    "the wrong types": b'{"name": {}, "nodes": 1, "edges": "", "input": 1, "version": [], "reason": 1, "provider": 1}',
    "1 MB of nesting": b"[" * 500_000 + b"]" * 500_000,
}


@pytest.fixture(scope="module")
def workflow(http: httpx.Client) -> str:
    """The path of a published workflow."""
    path: str = http.post("/api/workflows", json=WORKFLOW).headers["location"]
    assert http.post(f"{path}/publish").status_code == 200
    return path


@pytest.fixture
def webhook(http: httpx.Client, workflow: str) -> JsonObject:
    """A GitHub webhook of the workflow, and the body that made it."""
    body = {"name": "w", "workflow_id": workflow.split("/")[-1], "provider": "github", "secret": SECRET}
    created = http.post("/api/webhooks", json=body)
    assert created.status_code == 201, created.text
    return {**created.json(), "body": body}


def refused(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a problem, whose shape is checked on the way."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem.keys() - {"errors"} == {"type", "title", "status", "detail", "code"}
    assert problem["status"] == answer.status_code
    for error in problem.get("errors", []):
        assert error.keys() - {"hint"} == {"pointer", "message"}
    return answer.status_code, problem["code"]


def delivery(webhook_id: str, content: bytes = b"{}", secret: str = SECRET, provider: str = "github") -> httpx.Request:
    """A GitHub delivery, signed."""
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": new_id(),
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest(),
    }
    path = f"/webhooks/{webhook_id}/{provider}"
    return httpx.Request("POST", path, headers=headers, content=content)


def send(http: httpx.Client, request: httpx.Request) -> httpx.Response:
    """The answer to a delivery, which carries no credentials but its signature."""
    return httpx.post(
        f"{http.base_url}".rstrip("/") + str(request.url), headers=request.headers, content=request.content, timeout=30
    )


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize(("method", "path"), WITH_BODIES)
def test_malformed_body_is_a_400(http: httpx.Client, method: str, path: str, content: bytes) -> None:
    """What is no such request is refused with a problem on every route that takes a body, before ids are looked up."""
    answer = http.request(
        method,
        path.format(id=new_id(), delivery_id=new_id(), name="go"),
        content=content,
        headers={"content-type": "application/json"},
    )
    assert refused(answer) == (400, "invalid_request")


def test_unknown_fields_are_named(http: httpx.Client) -> None:
    """The 400 names the unknown field and the one that was probably meant."""
    answer = http.post("/api/workflows", json={**WORKFLOW, "nmae": "x"})
    assert refused(answer) == (400, "invalid_request")
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/nmae"
    assert "name" in error["hint"]


def test_invalid_cursor_is_a_400(http: httpx.Client) -> None:
    """A cursor that nobody gave out."""
    assert refused(http.get("/api/executions", params={"cursor": "made-up"})) == (400, "invalid_cursor")


def test_missing_credentials_are_a_401(stack: LocalStack) -> None:
    """Without a bearer token the gateway answers by itself."""
    answer = httpx.get(f"{stack.api_url}/api/workflows")
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize("token", ["wk_nonsense", "eyJhbGciOiJub25lIn0.e30.", "x"])
def test_wrong_credentials_are_a_403(stack: LocalStack, token: str) -> None:
    """A key or token that opens nothing: the authorizer says no."""
    answer = httpx.get(f"{stack.api_url}/api/workflows", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_missing_role_is_a_403(http: httpx.Client, stack: LocalStack) -> None:
    """A viewer's key reads, and is told which role writing needs."""
    key = http.post("/api/api-keys", json={"name": "v", "role": "viewer"}).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{stack.api_url}/api/workflows", headers=headers).status_code == 200
    answer = httpx.post(f"{stack.api_url}/api/workflows", headers=headers, json=WORKFLOW)
    assert refused(answer) == (403, "forbidden")
    assert "editor" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["0199c000-0000-7000-8000-0000000000aa", "not-a-uuid", "%00", "a" * 500])
@pytest.mark.parametrize("path", ["/api/workflows/{}", "/api/webhooks/{}", "/api/executions/{}"])
def test_unknown_id_is_a_404(http: httpx.Client, path: str, name: str) -> None:
    """An id of nothing, and one that cannot be an id."""
    assert refused(http.get(path.format(name))) == (404, "not_found")


def test_archived_workflow_is_a_409(http: httpx.Client) -> None:
    """What is archived changes no more."""
    path = http.post("/api/workflows", json=WORKFLOW).headers["location"]
    assert http.delete(path).status_code == 204
    assert refused(http.put(path, json=WORKFLOW)) == (409, "conflict")


def test_idempotency_key_of_another_request_is_a_409(http: httpx.Client, workflow: str) -> None:
    """One key, two requests."""
    headers = {"Idempotency-Key": new_id()}
    assert http.post(f"{workflow}/execute", json={"input": 1}, headers=headers).status_code == 202
    answer = http.post(f"{workflow}/execute", json={"input": 2}, headers=headers)
    assert refused(answer) == (409, "idempotency_conflict")


def test_finished_run_cannot_be_cancelled(http: httpx.Client, workflow: str) -> None:
    """A run that has succeeded stays so."""
    finished = http.post(f"{workflow}/execute", json={}, headers={"Prefer": "wait=20"})
    assert finished.status_code == 200, finished.text
    answer = http.post(f"/api/executions/{finished.json()['id']}/cancel")
    assert refused(answer) == (409, "execution_finished")


def test_stale_if_match_is_a_412(http: httpx.Client) -> None:
    """Somebody else has changed it since."""
    path = http.post("/api/workflows", json=WORKFLOW).headers["location"]
    assert refused(http.put(path, json=WORKFLOW, headers={"If-Match": '"17"'})) == (412, "precondition_failed")


def test_large_body_is_a_413(http: httpx.Client) -> None:
    """More than a mebibyte of workflow."""
    answer = http.post("/api/workflows", json={**WORKFLOW, "description": "x" * 1_100_000})
    assert refused(answer) == (413, "payload_too_large")


def test_invalid_graph_is_a_422_with_every_problem(http: httpx.Client) -> None:
    """Publishing says everything that is wrong, each with its place."""
    nodes = [{"id": "a", "type": "no_such_type"}, {"id": "b", "type": "if", "parameters": {}}]
    path = http.post("/api/workflows", json={**WORKFLOW, "nodes": nodes}).headers["location"]
    answer = http.post(f"{path}/publish")
    assert refused(answer) == (422, "invalid_graph")
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert "/nodes/0/type" in pointers
    assert any(pointer.startswith("/nodes/1") for pointer in pointers)


def test_unpublished_workflow_is_a_422(http: httpx.Client) -> None:
    """There is nothing to run yet."""
    path = http.post("/api/workflows", json=WORKFLOW).headers["location"]
    assert refused(http.post(f"{path}/execute")) == (422, "not_published")


def test_webhook_for_nothing_is_a_422(http: httpx.Client) -> None:
    """A webhook's workflow and provider must exist."""
    body = {"name": "w", "workflow_id": new_id(), "provider": "nobody"}
    answer = http.post("/api/webhooks", json=body)
    assert refused(answer) == (422, "unprocessable")
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/workflow_id", "/provider"}


def test_forged_delivery_is_a_401(http: httpx.Client, webhook: JsonObject) -> None:
    """Signed with another secret, or not at all."""
    assert refused(send(http, delivery(webhook["id"], secret="guess"))) == (401, "invalid_signature")
    unsigned = delivery(webhook["id"])
    del unsigned.headers["x-hub-signature-256"]
    assert refused(send(http, unsigned)) == (401, "invalid_signature")


def test_delivery_to_nowhere_is_a_404(http: httpx.Client, webhook: JsonObject) -> None:
    """An unknown webhook, and another provider's path."""
    assert refused(send(http, delivery(new_id()))) == (404, "not_found")
    assert refused(send(http, delivery(webhook["id"], provider="standard_webhooks"))) == (404, "not_found")


def test_same_signed_id_with_other_bytes_is_a_409(http: httpx.Client, workflow: str) -> None:
    """A provider's signed id stands for one delivery: under it, other bytes are refused."""
    body = {"name": "w", "workflow_id": workflow.split("/")[-1], "provider": "standard_webhooks"}
    created = http.post("/api/webhooks", json=body).json()

    def deliver(content: str) -> httpx.Response:
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(created["secret"]).sign("msg_1", now, content),
        }
        return http.post(f"/webhooks/{created['id']}/standard_webhooks", content=content, headers=headers)

    assert deliver('{"n": 1}').status_code == 202
    assert refused(deliver('{"n": 2}')) == (409, "conflict")


def test_paused_webhook_is_a_410(http: httpx.Client, webhook: JsonObject) -> None:
    """A paused webhook takes nothing."""
    body = {**webhook["body"], "status": "paused"}
    assert http.put(f"/api/webhooks/{webhook['id']}", json=body).status_code == 200
    assert refused(send(http, delivery(webhook["id"]))) == (410, "webhook_paused")


def test_large_delivery_is_a_413(http: httpx.Client, webhook: JsonObject) -> None:
    """More than a function can be handed."""
    answer = send(http, delivery(webhook["id"], b'"' + b"x" * 4_600_000 + b'"'))
    assert answer.status_code == 413
