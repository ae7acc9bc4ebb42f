"""Five providers as their users set them up, by docs/how-to/webhooks.md, and `python -m local send` as the provider."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from local.tools.send import main
from shared.json_types import JsonObject

WORKFLOW = {
    "name": "keep",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "keep", "type": "transform", "parameters": {"value": "{% $trigger.provider %}"}},
    ],
    "edges": [{"source": "hook", "target": "keep"}],
}
UNKNOWN = "01930000-0000-7000-8000-0000000000a1"
PROVIDERS: dict[str, JsonObject] = {
    "github": {},
    "slack": {"secret": "an-example-signing-secret"},
    "twilio": {"secret": "an-example-auth-token"},
    "aircall": {"secret": "an-example-token"},
    "pandadoc": {"secret": "an-example-key", "config": {"event_types": ["document_state_changed"]}},
}


@pytest.fixture(scope="module")
def workflow_id(http: httpx.Client) -> str:
    """A published workflow."""
    path = http.post("/api/workflows", json=WORKFLOW).headers["location"]
    assert http.post(f"{path}/publish").status_code == 200
    return path.rsplit("/", 1)[1]


def send(webhook: JsonObject, *options: str) -> int:
    """The command's exit code."""
    secret = webhook.get("secret") or ""
    config = json.dumps(webhook["config"])
    return main([webhook["provider"], "--url", webhook["url"], "--secret", secret, "--config", config, *options])


def lines(http: httpx.Client, webhook: JsonObject, count: int) -> list[JsonObject]:
    """The delivery log, oldest first, once it has so many lines."""
    deadline, items = time.monotonic() + 20, []
    while len(items) < count and time.monotonic() < deadline:
        items = http.get(f"/api/webhooks/{webhook['id']}/deliveries").json()["items"]
        time.sleep(0.1)
    return sorted(items, key=lambda line: line["received_at"])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_provider_is_set_up_and_delivers(http: httpx.Client, workflow_id: str, provider: str) -> None:
    """A delivery, the same twice, and a forged one: what the sender is told, and what the owner reads."""
    wanted = {"name": provider, "workflow_id": workflow_id, "provider": provider, **PROVIDERS[provider]}
    webhook = http.post("/api/webhooks", json=wanted).raise_for_status().json()
    assert send(webhook) == 0
    assert send(webhook, "--replay") == 0
    assert send(webhook, "--forge") == 0
    logged = lines(http, webhook, 4)
    assert [line["verdict"] for line in logged] == ["accepted", "accepted", "duplicate", "rejected_signature"]
    assert logged[3]["reason"].startswith("wrong_secret")


def test_stripe_is_set_up_in_two_steps(http: httpx.Client, workflow_id: str) -> None:
    """Until Stripe's secret is there its deliveries are refused; then they come in, and stale ones do not."""
    wanted = {"name": "s", "workflow_id": workflow_id, "provider": "stripe"}
    assert http.post("/api/webhooks", json=wanted).status_code == 422
    webhook = http.post("/api/webhooks", json={**wanted, "status": "awaiting_secret"}).raise_for_status().json()
    webhook["secret"] = "whsec_an-example-secret"
    assert send(webhook) == 1
    body = {"secret": webhook["secret"]}
    assert http.post(f"/api/webhooks/{webhook['id']}/rotate-secret", json=body).status_code == 200
    time.sleep(1.1)  # a refusal is remembered for a second
    assert send(webhook) == 0
    assert send(webhook, "--stale") == 0
    reasons = [line.get("reason") for line in lines(http, webhook, 3)]
    assert reasons[0] == "secret_missing: the webhook has not been given its secret"
    assert reasons[1] is None
    assert (reasons[2] or "").startswith("timestamp_too_old: 604")


def test_refusal_for_another_reason_is_told_apart(http: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is there, a forged delivery is refused too, and shows nothing about signatures."""
    webhook = {"provider": "github", "config": {}, "secret": "s", "url": f"{http.base_url}/webhooks/{UNKNOWN}/github"}
    assert send(webhook, "--forge") == 1
    assert "not for what is wrong with it" in capsys.readouterr().err
