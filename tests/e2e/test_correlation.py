"""One id from a provider's request to the request that a workflow sends."""

from __future__ import annotations

import time
import uuid

import httpx

from local.signing.deliveries import sign
from local.stack.stack import LocalStack
from local.tools.sink import sink
from shared.json_types import JsonObject
from shared.webhooks.delivery import Delivery
from shared.webhooks.providers.catalog import provider

TRACE = "1-5759e988-bd862e3fe1be46a994272793"


def posting_to(url: str) -> JsonObject:
    """A workflow that sends one request."""
    return {
        "name": "correlated",
        "nodes": [
            {"id": "hook", "type": "webhook_trigger"},
            {"id": "call", "type": "http_request", "parameters": {"method": "POST", "url": url}},
        ],
        "edges": [{"source": "hook", "target": "call"}],
    }


def deliver(url: str, secret: str) -> httpx.Response:
    """The answer to a signed delivery that belongs to a trace."""
    github = provider("github", {})
    assert github is not None
    headers = {"content-type": "application/json", "x-github-event": "push", "x-github-delivery": str(uuid.uuid4())}
    signed = sign(github, Delivery("POST", headers, b"{}"), secret, time.time())
    return httpx.post(url, content=b"{}", headers={**signed, "x-amzn-trace-id": f"Root={TRACE}"}, trust_env=False)


def finished(api: httpx.Client, execution_id: str) -> list[JsonObject]:
    """The events of a run that has ended."""
    deadline = time.monotonic() + 30
    while api.get(f"/api/executions/{execution_id}").json()["status"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    events: list[JsonObject] = api.get(f"/api/executions/{execution_id}/events").json()["items"]
    return events


def test_request_can_be_followed_into_the_run_and_out_again(stack: LocalStack) -> None:
    """The id that the provider was answered stands in every event, and its trace in the request that is sent."""
    headers = {"authorization": f"Bearer {stack.api_key}"}
    with sink() as (sink_url, received), httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False) as api:
        workflow = api.post("/api/workflows", json=posting_to(sink_url)).json()
        api.post(f"/api/workflows/{workflow['id']}/publish").raise_for_status()
        wanted = {"name": "h", "workflow_id": workflow["id"], "provider": "github"}
        webhook = api.post("/api/webhooks", json=wanted).json()
        answer = deliver(webhook["url"], webhook["secret"])
        assert answer.status_code == 202
        events = finished(api, answer.json()["execution_id"])
    assert {event["metadata"]["correlation_id"] for event in events} == {answer.headers["apigw-requestid"]}
    assert events[-1]["event_type"] == "ExecutionSucceeded"
    assert received[0].headers["traceparent"].startswith("00-5759e988bd862e3fe1be46a994272793-")
    assert received[0].headers["x-amzn-trace-id"].startswith(f"Root={TRACE};Parent=")
