"""The demo's story: a workflow, a webhook, a signed delivery, its run, and proof of what did not happen."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.signing.deliveries import sign
from local.tools.sink import sink
from shared.domain.timestamps import unix_seconds
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.catalog import provider

SAMPLE = Path(__file__).parents[2] / "events" / "intake" / "github_push.json"
WAIT_SECONDS = 20.0
TERMINAL = ("succeeded", "failed", "cancelled")
COLUMNS = "{:>8}  {:<19} {:<9} {:>9}  {}"


class DemoError(Exception):
    """Something did not go as the demo promises."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The demo's result."""

    execution_id: str
    status: str
    events: int
    duplicates: int


def tell(api_url: str, api_key: str, say: Callable[[str], None], wait_seconds: float = WAIT_SECONDS) -> Outcome:
    """The demo's result; each step is printed as it is done. Raises `DemoError` where a promise was not
    kept, and when the run has not ended after `wait_seconds`."""
    with (
        httpx.Client(base_url=api_url, timeout=wait_seconds + 10, trust_env=False) as client,
        sink() as (sink_url, received),
    ):
        client.headers["authorization"] = f"Bearer {api_key}"
        workflow = _ok(client.post("/api/workflows", json=_workflow(sink_url)), 201)
        published = _ok(client.post(f"/api/workflows/{workflow['id']}/publish"), 200)
        say(f"workflow   {workflow['id']} created and published as version {published['published_version']}")
        wanted = {"name": "GitHub", "workflow_id": workflow["id"], "provider": "github"}
        webhook = _ok(client.post("/api/webhooks", json=wanted), 201)
        say(f"webhook    {webhook['url']}")

        body = json.loads(SAMPLE.read_text())["body"].encode()
        headers = _signed(body, webhook["secret"])
        accepted = _ok(_deliver(client, webhook, body, headers), 202)
        say(f"delivery   {len(body):,} bytes, signed: 202, execution {accepted['execution_id']}")
        execution = _finished(client, accepted["execution_id"], wait_seconds)

        say("")
        events = _events(client, accepted["execution_id"])
        for line in _table(events):
            say(line)
        say("")

        again = _ok(_deliver(client, webhook, body, headers), 200)
        if not again["duplicate"] or again["execution_id"] != accepted["execution_id"]:
            raise DemoError(f"The same delivery again was answered with {again}.")
        say("duplicate  the same delivery again: 200, the same execution, nothing started")
        forged = {**headers, "x-hub-signature-256": "sha256=" + "0" * 64, "x-github-delivery": str(uuid.uuid4())}
        refused = _deliver(client, webhook, body, forged)
        if refused.status_code != 401:
            raise DemoError(f"A forged delivery was answered with {refused.status_code}.")
        say("forged     another signature: 401, nothing started")

        runs = _ok(client.get("/api/executions", params={"workflow_id": workflow["id"]}), 200)["items"]
        if len(received) != 1:
            raise DemoError(f"The workflow's request was received {len(received)} times.")
        say(f"effect     received once, Idempotency-Key {received[0].headers['idempotency-key']}")
        return Outcome(accepted["execution_id"], execution["status"], len(events), len(runs) - 1)


def _workflow(sink_url: str) -> JsonObject:
    return {
        "name": "Deploy what is pushed to main",
        "nodes": [
            {"id": "hook", "type": "webhook_trigger"},
            {
                "id": "is_main",
                "type": "if",
                "parameters": {"condition": "{% $trigger.body.ref = 'refs/heads/main' %}"},
            },
            {
                "id": "summary",
                "type": "transform",
                "parameters": {
                    "value": {
                        "repository": "{% $trigger.body.repository.full_name %}",
                        "by": "{% $trigger.body.pusher.name %}",
                        "text": "{% $count($trigger.body.commits) %} commits up to {% $trigger.body.after %}",
                    }
                },
            },
            {
                "id": "deploy",
                "type": "http_request",
                "parameters": {"method": "POST", "url": f"{sink_url}/deploy", "body": "{% $nodes.summary %}"},
                "timeout_seconds": 10,
            },
        ],
        "edges": [
            {"source": "hook", "target": "is_main"},
            {"source": "is_main", "source_handle": "true", "target": "summary"},
            {"source": "summary", "target": "deploy"},
        ],
    }


def _signed(body: bytes, secret: str) -> JsonObject:
    github = provider("github", {})
    assert github is not None, "the catalog has GitHub"
    headers = {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/demo",
        "x-github-delivery": str(uuid.uuid4()),
        "x-github-event": "push",
    }
    delivery = Delivery(method="POST", headers=headers, body=body, query={}, url="", config={})
    return dict(sign(github, delivery, secret, time.time()))


def _deliver(client: httpx.Client, webhook: JsonObject, body: bytes, headers: JsonObject) -> httpx.Response:
    # A provider sends no API key.
    request = httpx.Request("POST", webhook["url"], content=body, headers=headers)
    return client.send(request)


def _finished(client: httpx.Client, execution_id: str, wait_seconds: float) -> JsonObject:
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        execution = _ok(client.get(f"/api/executions/{execution_id}"), 200)
        if execution["status"] in TERMINAL:
            return execution
        time.sleep(0.05)
    raise DemoError(f"Execution {execution_id} is not finished after {wait_seconds:.0f} seconds.")


def _events(client: httpx.Client, execution_id: str) -> list[JsonObject]:
    items: list[JsonObject] = _ok(client.get(f"/api/executions/{execution_id}/events"), 200)["items"]
    return items


def _table(events: list[JsonObject]) -> Iterator[str]:
    yield COLUMNS.format("sequence", "event", "node", "duration", "summary")
    started: dict[str, float] = {}
    previous = unix_seconds(events[0]["timestamp"])
    for event in events:
        happened, payload = unix_seconds(event["timestamp"]), event["payload"]
        node = payload.get("node_id", "")
        if event["event_type"] == "NodeStarted":
            started[node] = happened
        milliseconds = (happened - started.get(node, previous)) * 1000
        previous = happened
        yield COLUMNS.format(
            event["sequence_number"], event["event_type"], node, f"{milliseconds:.1f} ms", _summary(event)
        ).rstrip()


def _summary(event: JsonObject) -> str:
    payload = event["payload"]
    match event["event_type"]:
        case "ExecutionQueued":
            trigger = payload["trigger"]
            text = f"{trigger.get('provider', trigger['type'])} {trigger.get('event_type') or ''}"
        case "ExecutionStarted":
            text = f"version {payload['workflow_version']}"
        case "NodeStarted":
            text = f"attempt {payload['attempt']}"
        case "NodeSucceeded":
            output = "its input" if payload.get("output_of") else json.dumps(payload["output"])
            handle = "" if payload["handles"] == ["out"] else f"{', '.join(payload['handles'])}: "
            text = handle + output
        case "NodeFailed" | "ExecutionFailed":
            text = payload["error"]["message"]
        case _:
            text = ""
    return text if len(text) <= 58 else text[:57] + "…"


def _ok(response: httpx.Response, status: int) -> JsonObject:
    if response.status_code != status:
        path = response.request.url.path
        raise DemoError(f"{response.request.method} {path} was answered {response.status_code}: {response.text}")
    body: JsonObject = response.json()
    return body
