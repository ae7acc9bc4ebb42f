"""From a signed delivery to its run and its line in the delivery log, on the running stack."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from shared.json_types import JsonObject

SECRET = "s3cret"
WORKFLOW = {
    "name": "double",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "double", "type": "transform", "parameters": {"value": "{% $trigger.body.n * 2 %}"}},
    ],
    "edges": [{"source": "hook", "target": "double"}],
}


@pytest.fixture
def webhook(http: httpx.Client) -> JsonObject:
    """A new GitHub webhook of a new, published workflow."""
    path = http.post("/api/workflows", json=WORKFLOW).headers["location"]
    assert http.post(f"{path}/publish").status_code == 200
    body = {"name": "w", "workflow_id": path.split("/")[-1], "provider": "github", "secret": SECRET}
    created: JsonObject = http.post("/api/webhooks", json=body).json()
    return created


def deliver(webhook: JsonObject, body: Any) -> JsonObject:
    """What the provider is answered, which signs and sends to the URL that it was given."""
    content = json.dumps(body).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "x-github-event": "push", "x-hub-signature-256": signature}
    answer = httpx.post(webhook["url"], content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    accepted: JsonObject = answer.json()
    return accepted


def finished(http: httpx.Client, execution_id: str) -> JsonObject:
    """The run, once it has ended; from its `202` on there is no moment at which it is not found."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        answer = http.get(f"/api/executions/{execution_id}")
        assert answer.status_code == 200, answer.text
        if answer.json()["finished_at"]:
            execution: JsonObject = answer.json()
            return execution
    pytest.fail("The run did not end.")


def test_run_is_there_from_its_202_on(http: httpx.Client, webhook: JsonObject) -> None:
    """However soon one asks, an accepted delivery's run is queued, under way or finished, and never unknown."""
    for n in range(20):
        shown = finished(http, deliver(webhook, {"n": n})["execution_id"])
        assert (shown["status"], shown["output"]) == ("succeeded", n * 2)


def test_ledger_shows_the_delivery_with_its_body(http: httpx.Client, webhook: JsonObject) -> None:
    """The delivery log says what came, what became of it and which run it started; the one delivery has its body
    too."""
    delivered = deliver(webhook, {"n": 4})
    finished(http, delivered["execution_id"])
    path = f"/api/webhooks/{webhook['id']}/deliveries"
    (listed,) = http.get(path, params={"verdict": "accepted"}).json()["items"]
    assert (listed["id"], listed["execution_id"]) == (delivered["delivery_id"], delivered["execution_id"])
    assert (listed["event_type"], listed["size_bytes"]) == ("push", 8)
    assert listed["body_sha256"] == hashlib.sha256(b'{"n": 4}').hexdigest()
    assert http.get(f"{path}/{listed['id']}").json() == {**listed, "body": {"n": 4}}
    assert http.get(path, params={"verdict": "filtered"}).json()["items"] == []
    assert http.get(f"/api/webhooks/{webhook['id']}").json()["last_triggered_at"] == listed["received_at"]


def test_ledger_shows_a_refusal_within_seconds(http: httpx.Client, webhook: JsonObject) -> None:
    """Though it starts no run, and without waiting for the schedule: somebody is looking for what went wrong."""
    assert httpx.post(webhook["url"], content=b"{}", headers={"content-type": "application/json"}).status_code == 401
    path, deadline = f"/api/webhooks/{webhook['id']}/deliveries", time.monotonic() + 20
    lines: list[JsonObject] = []
    while not lines and time.monotonic() < deadline:
        lines = http.get(path, params={"verdict": "rejected_signature"}).json()["items"]
        time.sleep(0.1)
    (line,) = lines
    assert (line["reason"], line["method"]) == ("header_missing: header:X-Hub-Signature-256", "POST")


def test_events_tell_the_run_as_it_goes(http: httpx.Client, webhook: JsonObject) -> None:
    """Long polls from version to version tell the whole run, in order, up to its end."""
    execution_id = deliver(webhook, {"n": 4})["execution_id"]
    after, told = 0, []
    while not told or told[-1] != "ExecutionSucceeded":
        answer = http.get(f"/api/executions/{execution_id}/events", params={"after": after, "wait": 10})
        assert answer.json()["items"], told
        told += [event["event_type"] for event in answer.json()["items"]]
        after = answer.json()["items"][-1]["stream_version"]
    assert told == ["ExecutionQueued", "ExecutionStarted", "NodeSucceeded", "ExecutionSucceeded"]
