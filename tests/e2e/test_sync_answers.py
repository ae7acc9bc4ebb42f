"""Waiting for a run's answer over the running stack."""

from __future__ import annotations

import hashlib
import hmac
import time

import httpx
import pytest

from local.stack.stack import LocalStack
from shared.json_types import JsonObject

GRAPH: JsonObject = {
    "name": "slow",
    "nodes": [
        {"id": "hand", "type": "manual_trigger"},
        {"id": "pause", "type": "delay", "parameters": {"seconds": 0.8}},
        {"id": "answer", "type": "respond", "parameters": {"body": "done"}},
    ],
    "edges": [{"source": "hand", "target": "pause"}, {"source": "pause", "target": "answer"}],
}


def test_sender_that_hangs_up_cancels_nothing(stack: LocalStack) -> None:
    """A provider that has no patience for the run's response sends again, and is answered what the run has said."""
    nodes = [{"id": "hand", "type": "webhook_trigger"}, *GRAPH["nodes"][1:]]
    headers = {"authorization": f"Bearer {stack.api_key}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=30) as http:
        workflow = http.post("/api/workflows", json={**GRAPH, "nodes": nodes}).json()
        assert http.post(f"/api/workflows/{workflow['id']}/publish").status_code == 200
        wanted = {"name": "h", "workflow_id": workflow["id"], "provider": "github", "config": {"response": "wait"}}
        webhook = http.post("/api/webhooks", json=wanted).json()
        mac = hmac.new(webhook["secret"].encode(), b"{}", hashlib.sha256).hexdigest()
        signed = {"content-type": "application/json", "x-hub-signature-256": f"sha256={mac}"}
        signed |= {"x-github-event": "push", "x-github-delivery": "hung-up"}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(webhook["url"], content=b"{}", headers=signed, timeout=0.3, trust_env=False)
        again = httpx.post(webhook["url"], content=b"{}", headers=signed, timeout=30, trust_env=False)
        runs = http.get("/api/executions", params={"workflow_id": workflow["id"]}).json()["items"]
    assert (again.status_code, again.text) == (200, "done")
    assert len(runs) == 1


def test_disconnect_cancels_nothing(stack: LocalStack) -> None:
    """Who hangs up while the run goes on finds it finished, and the same request again has its answer."""
    headers = {"authorization": f"Bearer {stack.api_key}", "idempotency-key": "hung-up", "prefer": "wait=20"}
    with httpx.Client(base_url=stack.api_url, headers=headers, trust_env=False, timeout=30) as http:
        path = http.post("/api/workflows", json=GRAPH).headers["location"]
        assert http.post(f"{path}/publish").status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{path}/execute", json={}, timeout=0.3)
        deadline, runs = time.monotonic() + 15, list[JsonObject]()
        while time.monotonic() < deadline and not (runs and runs[0]["status"] == "succeeded"):
            runs = http.get("/api/executions", params={"workflow_id": path.split("/")[-1]}).json()["items"]
        assert [run["status"] for run in runs] == ["succeeded"]
        again = http.post(f"{path}/execute", json={})
    assert (again.status_code, again.json()["response"]["body"]) == (200, "done")
