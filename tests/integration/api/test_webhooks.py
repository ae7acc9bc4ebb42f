"""/api/webhooks on the real database."""

from __future__ import annotations

from typing import Any

import pytest

from shared.aws.secrets import decrypt
from shared.commands.services import Services
from shared.domain.provider import secret_context
from shared.ids import new_id
from shared.runtime import run
from tests.integration.api.conftest import Caller


def a_webhook(workflow: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A body that creates a GitHub webhook."""
    return {"name": "pushes", "workflow_id": workflow["id"], "provider": "github", **fields}


@pytest.fixture
def webhook(caller: Caller, workflow: dict[str, Any]) -> dict[str, Any]:
    """A webhook of the caller's workflow, as it was created."""
    created = caller.post("/api/webhooks", a_webhook(workflow, secret="given by GitHub"))
    assert created.status == 201, created
    found: dict[str, Any] = created.body
    return found


def test_create_shows_the_generated_secret_once(caller: Caller, workflow: dict[str, Any]) -> None:
    """A secret that is not given is generated, shown in the answer, and in no other."""
    created = caller.post("/api/webhooks", a_webhook(workflow))
    assert created.status == 201
    assert len(created.body["secret"]) >= 32
    assert created.headers["Location"] == f"/api/webhooks/{created.body['id']}"
    assert created.body["url"] == f"https://api.example.test/webhooks/{created.body['id']}/github"
    shown = caller.get(f"/api/webhooks/{created.body['id']}")
    assert shown.body == {name: value for name, value in created.body.items() if name != "secret"}


def test_secret_is_stored_encrypted_in_its_own_context(
    caller: Caller, wired: Services, webhook: dict[str, Any]
) -> None:
    """The row holds ciphertext that opens for this tenant and webhook; no event holds anything of it."""
    row = run(wired.webhooks.for_intake(webhook["id"]))
    assert row is not None
    assert run(decrypt(row["secret"], secret_context(caller.tenant_id, webhook["id"]))) == "given by GitHub"
    feed = caller.get("/api/events", stream_id=webhook["id"])
    assert [event["event_type"] for event in feed.body["items"]] == ["WebhookCreated"]
    assert "given by GitHub" not in str(feed.body)


def test_create_writes_through_to_redis(wired: Services, webhook: dict[str, Any]) -> None:
    """Intake finds the new webhook in Redis, its workflow published, its secret encrypted."""
    known, config = run(wired.hints.webhook_config(webhook["id"]))
    assert known
    assert config is not None
    assert (config["published"], config["status"], config["provider"]) == (True, "active", "github")
    assert config["secrets"][0]["secret"].startswith("v1:")


def test_update_replaces_what_is_given_and_keeps_the_secret(
    caller: Caller, wired: Services, webhook: dict[str, Any], workflow: dict[str, Any]
) -> None:
    """PUT without a secret changes all else; intake is told."""
    before = run(wired.webhooks.for_intake(webhook["id"]))
    changed = caller.put(f"/api/webhooks/{webhook['id']}", a_webhook(workflow, name="renamed", status="paused"))
    assert (changed.status, changed.body["name"], changed.body["status"]) == (200, "renamed", "paused")
    after = run(wired.webhooks.for_intake(webhook["id"]))
    assert before is not None
    assert after is not None
    assert after["secret"] == before["secret"]
    assert run(wired.hints.webhook_config(webhook["id"]))[1]["status"] == "paused"  # type: ignore[index]  # it is known


def test_update_with_a_secret_replaces_it(
    caller: Caller, wired: Services, webhook: dict[str, Any], workflow: dict[str, Any]
) -> None:
    """PUT with a secret replaces the present one; the answer does not show it."""
    changed = caller.put(f"/api/webhooks/{webhook['id']}", a_webhook(workflow, secret="a new one"))
    assert changed.status == 200
    assert "secret" not in changed.body
    row = run(wired.webhooks.for_intake(webhook["id"]))
    assert row is not None
    assert run(decrypt(row["secret"], secret_context(caller.tenant_id, webhook["id"]))) == "a new one"


def test_deleted_webhook_is_gone_everywhere(caller: Caller, wired: Services, webhook: dict[str, Any]) -> None:
    """After DELETE the webhook answers 404, leaves the list, and intake knows that there is none."""
    assert caller.delete(f"/api/webhooks/{webhook['id']}").status == 204
    assert caller.get(f"/api/webhooks/{webhook['id']}").status == 404
    assert caller.delete(f"/api/webhooks/{webhook['id']}").status == 404
    assert caller.get("/api/webhooks").body["items"] == []
    assert run(wired.hints.webhook_config(webhook["id"])) == (True, None)


def test_list_pages_newest_first(caller: Caller, workflow: dict[str, Any]) -> None:
    """Pages follow each other by cursor, without gaps or repetitions, until there is none."""
    made = [caller.post("/api/webhooks", a_webhook(workflow, name=f"number {n}")).body["id"] for n in range(3)]
    first = caller.get("/api/webhooks", limit=2)
    second = caller.get("/api/webhooks", limit=2, cursor=first.body["next_cursor"])
    assert [item["id"] for item in first.body["items"] + second.body["items"]] == made[::-1]
    assert second.body["next_cursor"] is None
    assert caller.get("/api/webhooks", workflow_id=new_id()).body["items"] == []


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
    caller: Caller, workflow: dict[str, Any], fields: dict[str, Any], pointer: str
) -> None:
    """An unknown provider, workflow or trigger node is a 422 that points at it."""
    refused = caller.post("/api/webhooks", a_webhook(workflow, **fields))
    assert (refused.status, [error["pointer"] for error in refused.body["errors"]]) == (422, [pointer])


def test_create_for_another_tenants_workflow_is_refused(workflow: dict[str, Any]) -> None:
    """Another tenant's workflow is as unknown as one that does not exist."""
    refused = Caller().post("/api/webhooks", a_webhook(workflow))
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/workflow_id")


def test_provider_cannot_change(caller: Caller, workflow: dict[str, Any], webhook: dict[str, Any]) -> None:
    """The provider is part of the address that the other side was given."""
    refused = caller.put(f"/api/webhooks/{webhook['id']}", a_webhook(workflow, provider="standard_webhooks"))
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/provider")


def test_secret_must_have_the_providers_form(caller: Caller, workflow: dict[str, Any]) -> None:
    """Standard Webhooks secrets are base64 after `whsec_`; anything else is told so."""
    body = a_webhook(workflow, provider="standard_webhooks", secret="whsec_not base64!")
    refused = caller.post("/api/webhooks", body)
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/secret")


def test_viewer_may_read_but_not_write(caller: Caller, workflow: dict[str, Any], webhook: dict[str, Any]) -> None:
    """The role viewer sees webhooks and changes none."""
    viewer = Caller(caller.tenant_id, role="viewer")
    assert viewer.get(f"/api/webhooks/{webhook['id']}").status == 200
    assert viewer.post("/api/webhooks", a_webhook(workflow)).status == 403
    assert viewer.delete(f"/api/webhooks/{webhook['id']}").status == 403


def test_ledger_of_another_tenants_webhook_is_not_found(webhook: dict[str, Any]) -> None:
    """Another tenant sees no webhook, no ledger and no delivery."""
    stranger = Caller()
    for path in ("", "/deliveries", f"/deliveries/{new_id()}"):
        assert stranger.get(f"/api/webhooks/{webhook['id']}{path}").status == 404


def test_ledger_begins_empty(caller: Caller, webhook: dict[str, Any]) -> None:
    """A webhook that was never called has an empty ledger."""
    empty = {"items": [], "next_cursor": None}
    assert caller.get(f"/api/webhooks/{webhook['id']}/deliveries", verdict="accepted").body == empty


def test_provider_catalog_lists_what_can_be_verified(caller: Caller) -> None:
    """The catalog names the three providers that there are."""
    found = {provider["id"] for provider in caller.get("/api/webhook-providers").body["items"]}
    assert {"github", "standard_webhooks", "generic_hmac"} <= found
