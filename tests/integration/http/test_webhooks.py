"""/api/webhooks on the real database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.aws.secrets import decrypt
from shared.bootstrap import Services
from shared.commands.webhooks.create_webhook import CreateWebhook, create_webhook
from shared.domain.actor import Actor
from shared.domain.webhook.provider_rules import secret_context
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.webhooks.providers.catalog import provider_ids
from shared.webhooks.providers.rules import provider_rules
from tests.custom_scheme import ASKED, SCHEME
from tests.integration.http.client import Client


def a_webhook(workflow: JsonObject, **fields: Any) -> JsonObject:
    """A body that creates a GitHub webhook."""
    return {"name": "pushes", "workflow_id": workflow["id"], "provider": "github", **fields}


@pytest.fixture
def webhook(client: Client, workflow: JsonObject) -> JsonObject:
    """A webhook of the client's workflow, as it was created."""
    created = client.request("POST", "/api/webhooks", a_webhook(workflow, secret="given by GitHub"))
    assert created.status == 201, created
    found: JsonObject = created.json
    return found


def test_create_shows_the_generated_secret_once(client: Client, workflow: JsonObject) -> None:
    """A secret that is not given is generated, shown in the answer, and in no other."""
    created = client.request("POST", "/api/webhooks", a_webhook(workflow))
    assert created.status == 201
    assert len(created.json["secret"]) >= 32
    assert created.headers["location"] == f"/api/webhooks/{created.json['id']}"
    assert created.json["url"] == f"http://api.test/webhooks/{created.json['id']}/github"
    shown = client.request("GET", f"/api/webhooks/{created.json['id']}")
    assert shown.json == {name: value for name, value in created.json.items() if name != "secret"}


def test_secret_is_stored_encrypted_in_its_own_context(client: Client, wired: Services, webhook: JsonObject) -> None:
    """The row holds ciphertext that opens for this tenant and webhook; no event holds anything of it."""
    row = run(wired.webhooks.for_intake(webhook["id"]))
    assert row is not None
    assert run(decrypt(row["secret"], secret_context(client.tenant_id, webhook["id"]))) == "given by GitHub"
    feed = client.request("GET", "/api/events", query={"stream_id": webhook["id"]})
    assert [event["event_type"] for event in feed.json["items"]] == ["WebhookCreated"]
    assert "given by GitHub" not in str(feed.json)


def test_create_writes_through_to_redis(wired: Services, webhook: JsonObject) -> None:
    """Intake finds the new webhook in Redis, its workflow published, its secret encrypted."""
    config = run(wired.config_cache.webhook_config(webhook["id"])).config
    assert config is not None
    assert (config["published"], config["status"], config["provider"]) == (True, "active", "github")
    assert config["secrets"][0]["secret"].startswith("v1:")


def test_update_replaces_what_is_given_and_keeps_the_secret(
    client: Client, wired: Services, webhook: JsonObject, workflow: JsonObject
) -> None:
    """PUT without a secret changes all else; intake is told."""
    before = run(wired.webhooks.for_intake(webhook["id"]))
    body = a_webhook(workflow, name="renamed", status="paused")
    changed = client.request("PUT", f"/api/webhooks/{webhook['id']}", body)
    assert (changed.status, changed.json["name"], changed.json["status"]) == (200, "renamed", "paused")
    after = run(wired.webhooks.for_intake(webhook["id"]))
    assert before is not None
    assert after is not None
    assert after["secret"] == before["secret"]
    config = run(wired.config_cache.webhook_config(webhook["id"])).config
    assert config is not None
    assert config["status"] == "paused"


def test_update_with_a_secret_replaces_it(
    client: Client, wired: Services, webhook: JsonObject, workflow: JsonObject
) -> None:
    """PUT with a secret replaces the present one; the answer does not show it."""
    changed = client.request("PUT", f"/api/webhooks/{webhook['id']}", a_webhook(workflow, secret="a new one"))
    assert changed.status == 200
    assert "secret" not in changed.json
    row = run(wired.webhooks.for_intake(webhook["id"]))
    assert row is not None
    assert run(decrypt(row["secret"], secret_context(client.tenant_id, webhook["id"]))) == "a new one"


def test_deleted_webhook_is_gone_everywhere(client: Client, wired: Services, webhook: JsonObject) -> None:
    """After DELETE the webhook answers 404, leaves the list, and intake knows that there is none."""
    assert client.request("DELETE", f"/api/webhooks/{webhook['id']}").status == 204
    assert client.request("GET", f"/api/webhooks/{webhook['id']}").status == 404
    assert client.request("DELETE", f"/api/webhooks/{webhook['id']}").status == 404
    assert client.request("GET", "/api/webhooks").json["items"] == []
    remembered = run(wired.config_cache.webhook_config(webhook["id"]))
    assert (remembered.is_known, remembered.config) == (True, None)


def test_list_pages_newest_first(client: Client, workflow: JsonObject) -> None:
    """Pages follow each other by cursor, without gaps or repetitions, until there is none."""
    bodies = [a_webhook(workflow, name=f"number {n}") for n in range(3)]
    made = [client.request("POST", "/api/webhooks", body).json["id"] for body in bodies]
    first = client.request("GET", "/api/webhooks", query={"limit": 2})
    second = client.request("GET", "/api/webhooks", query={"limit": 2, "cursor": first.json["next_cursor"]})
    assert [item["id"] for item in first.json["items"] + second.json["items"]] == made[::-1]
    assert second.json["next_cursor"] is None
    assert client.request("GET", "/api/webhooks", query={"workflow_id": new_id()}).json["items"] == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"provider": "nobody"}, "/provider"),
        ({"workflow_id": "00000000-0000-7000-8000-000000000000"}, "/workflow_id"),
        ({"node_id": "double"}, "/node_id"),
        ({"node_id": "nowhere"}, "/node_id"),
    ],
)
def test_create_refuses_what_does_not_exist(
    client: Client, workflow: JsonObject, fields: JsonObject, pointer: str
) -> None:
    """An unknown provider, workflow or trigger node is a 422 that points at it."""
    refused = client.request("POST", "/api/webhooks", a_webhook(workflow, **fields))
    assert (refused.status, refused.pointers) == (422, [pointer])


def test_create_for_another_tenants_workflow_is_refused(workflow: JsonObject) -> None:
    """Another tenant's workflow is as unknown as one that does not exist."""
    refused = Client().request("POST", "/api/webhooks", a_webhook(workflow))
    assert (refused.status, refused.pointers) == (422, ["/workflow_id"])


def test_provider_cannot_change(client: Client, workflow: JsonObject, webhook: JsonObject) -> None:
    """The provider is part of the address that the other side was given."""
    refused = client.request("PUT", f"/api/webhooks/{webhook['id']}", a_webhook(workflow, provider="standard_webhooks"))
    assert (refused.status, refused.pointers) == (422, ["/provider"])


def test_secret_must_have_the_providers_form(client: Client, workflow: JsonObject) -> None:
    """Standard Webhooks secrets are base64 after `whsec_`; anything else is told so."""
    body = a_webhook(workflow, provider="standard_webhooks", secret="whsec_not base64!")
    refused = client.request("POST", "/api/webhooks", body)
    assert (refused.status, refused.pointers) == (422, ["/secret"])


def test_secret_that_the_provider_makes_must_be_given(client: Client, workflow: JsonObject) -> None:
    """None is made up that would verify nothing: the error says where to find the right one."""
    refused = client.request("POST", "/api/webhooks", a_webhook(workflow, provider="stripe"))
    assert (refused.status, refused.pointers) == (422, ["/secret"])
    assert "The signing secret on the destination's page" in refused.json["errors"][0]["hint"]
    wrong = client.request("POST", "/api/webhooks", a_webhook(workflow, provider="stripe", secret="sk_live_1"))
    assert (wrong.status, wrong.pointers) == (422, ["/secret"])


def test_secret_may_come_after_the_url(client: Client, workflow: JsonObject) -> None:
    """Where the provider shows it only then, the webhook awaits it, and is active with it."""
    body = a_webhook(workflow, provider="stripe", status="awaiting_secret")
    created = client.request("POST", "/api/webhooks", body)
    assert (created.status, created.json["status"], created.json["secret"]) == (201, "awaiting_secret", None)
    path = f"/api/webhooks/{created.json['id']}"
    refused = client.request("PUT", path, a_webhook(workflow, provider="stripe", status="active"))
    assert (refused.status, refused.pointers) == (422, ["/secret"])
    renamed = client.request("PUT", path, {**body, "name": "renamed"})
    assert (renamed.status, renamed.json["status"]) == (200, "awaiting_secret")
    changed = client.request("PUT", path, {**body, "secret": "whsec_1"})
    assert (changed.status, changed.json["status"]) == (200, "active")
    paused = client.request("PUT", path, a_webhook(workflow, provider="stripe", status="paused"))
    assert (paused.status, paused.json["status"]) == (200, "paused")


def test_another_configuration_may_want_another_secret(client: Client, workflow: JsonObject) -> None:
    """GitLab's signing token is no text of one's own: with the old secret every delivery would be refused."""
    body = a_webhook(workflow, provider="gitlab", secret="a token of mine")
    path = f"/api/webhooks/{client.request('POST', '/api/webhooks', body).json['id']}"
    changed = a_webhook(workflow, provider="gitlab", config={"variant": "signing_token"})
    refused = client.request("PUT", path, changed)
    assert (refused.status, refused.pointers) == (422, ["/secret"])
    assert client.request("PUT", path, {**changed, "secret": "whsec_YWJjZGVmZ2g="}).status == 200


def test_rotating_gives_an_awaited_secret(client: Client, workflow: JsonObject) -> None:
    """The other way to hand it in."""
    body = a_webhook(workflow, provider="stripe", status="awaiting_secret")
    path = f"/api/webhooks/{client.request('POST', '/api/webhooks', body).json['id']}"
    assert client.request("POST", f"{path}/rotate-secret", {}).pointers == ["/secret"]
    assert client.request("POST", f"{path}/rotate-secret", {"secret": "whsec_1"}).status == 200
    assert client.request("GET", path).json["status"] == "active"


def test_handshake_secret_is_awaited_by_itself(client: Client, workflow: JsonObject) -> None:
    """Asana hands its secret over in its first request, so there is none to give; fal has none to wait for."""
    created = client.request("POST", "/api/webhooks", a_webhook(workflow, provider="asana"))
    assert (created.status, created.json["status"]) == (201, "awaiting_secret")
    refused = client.request("POST", "/api/webhooks", a_webhook(workflow, provider="fal", status="awaiting_secret"))
    assert (refused.status, refused.pointers) == (422, ["/status"])


def test_viewer_may_read_but_not_write(client: Client, workflow: JsonObject, webhook: JsonObject) -> None:
    """The role viewer sees webhooks and changes none."""
    viewer = Client(client.tenant_id, role="viewer")
    assert viewer.request("GET", f"/api/webhooks/{webhook['id']}").status == 200
    assert viewer.request("POST", "/api/webhooks", a_webhook(workflow)).status == 403
    assert viewer.request("DELETE", f"/api/webhooks/{webhook['id']}").status == 403


def test_ledger_of_another_tenants_webhook_is_not_found(webhook: JsonObject) -> None:
    """Another tenant sees no webhook, no delivery log and no delivery."""
    stranger = Client()
    for path in ("", "/deliveries", f"/deliveries/{new_id()}"):
        assert stranger.request("GET", f"/api/webhooks/{webhook['id']}{path}").status == 404


def test_ledger_begins_empty(client: Client, webhook: JsonObject) -> None:
    """A webhook that was never called has an empty delivery log."""
    path = f"/api/webhooks/{webhook['id']}/deliveries"
    assert client.request("GET", path, query={"verdict": "accepted"}).json == {"items": [], "next_cursor": None}


def test_no_verification_is_asked_for_shown_and_recorded(client: Client, workflow: JsonObject) -> None:
    """It must be said twice, is shown with the webhook, and the audit feed says who wanted it."""
    config: JsonObject = {"variant": "unverified"}
    body = a_webhook(workflow, provider="generic_token", config=config)
    refused = client.request("POST", "/api/webhooks", body)
    assert (refused.status, refused.pointers) == (422, ["/config/accept_unverified"])
    config["accept_unverified"] = True
    created = client.request("POST", "/api/webhooks", body)
    assert (created.status, created.json["secret"]) == (201, None)
    shown = client.request("GET", f"/api/webhooks/{created.json['id']}").json
    assert shown["config"] == config
    (event,) = client.request("GET", "/api/events", query={"stream_id": created.json["id"]}).json["items"]
    assert event["payload"]["config"] == config
    assert event["metadata"]["actor"]


def test_many_deliveries_are_run_again_by_a_filter(client: Client, webhook: JsonObject) -> None:
    """The answer says how many were, and where to go on; a filter that makes no sense is pointed at."""
    path = f"/api/webhooks/{webhook['id']}/deliveries/redeliver"
    done = client.request("POST", path, {"verdict": "filtered", "since": "2026-01-01T00:00:00Z"})
    nothing = {"redelivered": 0, "skipped": 0, "unverified": 0, "items": [], "next_cursor": None}
    assert (done.status, done.json) == (202, nothing)
    refused = client.request("POST", path, {"verdict": "lost", "limit": 1000})
    assert (refused.status, refused.pointers) == (400, ["/verdict", "/limit"])
    assert client.request("POST", path, {"cursor": "nonsense"}).status == 400
    assert Client(client.tenant_id, role="viewer").request("POST", path, {}).status == 403
    assert Client().request("POST", path, {}).status == 404


def test_provider_catalog_lists_what_can_be_verified(client: Client) -> None:
    """Every provider of the catalog, with where to read on and how to set it up."""
    items = client.request("GET", "/api/webhook-providers").json["items"]
    assert sorted(item["id"] for item in items) == sorted(provider_ids())
    assert len(items) >= 200
    assert [item["id"] for item in items if not (item["documentation"] and item["setup"] and item["secret"])] == []


@pytest.mark.parametrize("pattern", ["(", "(a+)+$", 1, "[a-z]{2,1}"])
def test_a_pattern_in_a_user_defined_handshake_is_refused(
    client: Client, workflow: JsonObject, pattern: object
) -> None:
    """One that is no regular expression, and one that is: with a pointer to it."""
    config = {"scheme": SCHEME, "handshake": [{**ASKED, "pattern": {"query:c": pattern}}]}
    refused = client.request("POST", "/api/webhooks", a_webhook(workflow, provider="custom", config=config))
    assert refused.status == 422
    assert [error["pointer"] for error in refused.json["errors"]] == ["/config/handshake/0/pattern"]
    config = {"scheme": SCHEME, "handshake": [{**ASKED, "shape": {"query:c": "uuid"}}]}
    created = client.request("POST", "/api/webhooks", a_webhook(workflow, provider="custom", config=config))
    assert created.status == 201
    config["handshake"][0] |= {"pattern": {"query:c": pattern}}
    changed = a_webhook(workflow, provider="custom", config=config)
    assert client.request("PUT", f"/api/webhooks/{created.json['id']}", changed).status == 422


def test_what_is_not_taken_any_more_is_shown(client: Client, wired: Services, workflow: JsonObject) -> None:
    """A configuration that was saved under other rules has its problems beside it."""
    config = {"scheme": SCHEME, "handshake": [{**ASKED, "pattern": {"query:c": "(a+)+"}}]}
    command = CreateWebhook.model_validate(a_webhook(workflow, provider="custom", config=config))
    rules = replace(provider_rules("custom"), config_problems=lambda _: [])
    row = run(create_webhook(wired, Actor(client.tenant_id, "test", "admin"), command, rules))
    shown = client.request("GET", f"/api/webhooks/{row['id']}").json
    assert [problem["pointer"] for problem in shown["config_problems"]] == ["/handshake/0/pattern"]
    assert "config_problems" not in client.request("GET", "/api/webhooks").json["items"][0]
