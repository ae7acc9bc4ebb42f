"""What GET has shown may be sent back with PUT, changed or not, and what the service says of itself stays true."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bootstrap import Services
from shared.commands.webhooks.go_live import go_live
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests import custom_scheme
from tests.integration.http.client import Answer, Client

TIMESTAMP = {"in": "header:X-T", "unit": "s"}
SCHEME = custom_scheme.SCHEME | {"key_encoding": "base64", "key_prefix": "key_"}


@pytest.fixture
def live(client: Client, wired: Services, workflow: JsonObject) -> JsonObject:
    """A webhook of a scheme of the tenant's own under which a delivery has verified, as GET shows it."""
    body = {"name": "Acme", "workflow_id": workflow["id"], "provider": "custom", "config": {"scheme": SCHEME}}
    created = client.request("POST", "/api/webhooks", body).json
    run(go_live(wired, client.tenant_id, created["id"]))
    shown: JsonObject = client.request("GET", f"/api/webhooks/{created['id']}").json
    assert shown["config"]["live"] is True
    return shown


def put(client: Client, webhook: JsonObject, **changes: Any) -> Answer:
    """The answer to what was shown, sent back with these changes."""
    return client.request("PUT", f"/api/webhooks/{webhook['id']}", {**webhook, **changes})


def test_webhook_that_is_live_is_held_and_stays_live(client: Client, live: JsonObject) -> None:
    """Only the status was changed: the next delivery is held, and not taken for the one that shows that the scheme
    is right."""
    held = put(client, live, status="holding")
    assert held.status == 200, held.json
    unchanged = ("id", "url", "config", "name", "created_at")
    assert {name: held.json[name] for name in unchanged} == {name: live[name] for name in unchanged}


def test_webhook_stays_live_whoever_leaves_the_word_out(client: Client, live: JsonObject) -> None:
    """It is the service's to say: a client that wrote the configuration once need not know of it."""
    answer = put(client, live, config={"scheme": SCHEME, "event_types": ["a"]})
    assert answer.json["config"] == {"scheme": SCHEME, "event_types": ["a"], "live": True}


@pytest.mark.parametrize("config", [{"scheme": SCHEME | {"content": "{body}."}}, {"timestamp": TIMESTAMP}])
def test_webhook_with_another_scheme_is_not_live(client: Client, live: JsonObject, config: JsonObject) -> None:
    """Under what proves a delivery now none has verified yet."""
    answer = put(client, live, config={**live["config"], **config})
    assert answer.status == 200, answer.json
    assert "live" not in answer.json["config"]


def test_webhook_is_not_live_because_somebody_says_so(client: Client, live: JsonObject) -> None:
    """Neither at the beginning nor later; the answer says what to do."""
    body = {name: live[name] for name in ("name", "workflow_id", "provider", "config")}
    assert client.request("POST", "/api/webhooks", body).json["errors"][0]["pointer"] == "/config/live"
    refused = put(client, live, config={**live["config"], "live": False})
    assert refused.status == 422
    [problem] = refused.json["errors"]
    assert problem["pointer"] == "/config/live"
    assert "leave it out" in problem["hint"].lower()


def test_live_webhook_is_given_a_secret_of_its_schemes_form(client: Client, live: JsonObject) -> None:
    """A secret that is rotated is made as the first was."""
    rotated = client.request("POST", f"/api/webhooks/{live['id']}/rotate-secret", {})
    assert rotated.json["secret"].startswith("key_")


@pytest.mark.parametrize("name", ["id", "url", "created_at"])
def test_webhook_whose_address_is_changed_is_refused(client: Client, live: JsonObject, name: str) -> None:
    """What cannot change is told, and not passed over."""
    other = {"id": live["workflow_id"], "url": "https://example.com/", "created_at": "2026-01-01T00:00:00Z"}
    refused = put(client, live, **{name: other[name]})
    assert refused.status == 422
    assert [problem["pointer"] for problem in refused.json["errors"]] == [f"/{name}"]


def test_workflow_is_sent_back_as_it_was_shown(client: Client, workflow: JsonObject) -> None:
    """Nothing but its version changes; its id cannot."""
    path = f"/api/workflows/{workflow['id']}"
    shown = client.request("GET", path).json
    answer = client.request("PUT", path, shown)
    assert answer.status == 200, answer.json
    passing = ("version", "updated_at")
    assert answer.json == {**shown, **{name: answer.json[name] for name in passing}}
    refused = client.request("PUT", path, {**shown, "id": client.tenant_id})
    assert refused.status == 400
    assert [problem["pointer"] for problem in refused.json["errors"]] == ["/id"]
