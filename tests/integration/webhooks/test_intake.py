"""POST /webhooks/{id}/{provider}, over real servers."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest

from shared.aws.secrets import encrypt
from shared.bootstrap import Services
from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.domain.webhook.provider_rules import secret_context
from shared.ids import derived_id, is_uuid, new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.webhooks.intake import request as arrival
from shared.webhooks.providers.rules import provider_rules
from tests.integration.webhooks.sender import Sender, ledger

PUSH = Path(__file__).parents[3] / "events" / "intake" / "github_push.json"


def test_a_signed_delivery_is_queued_under_the_id_that_it_answers(sender: Sender) -> None:
    """202 with the id of the run that will be, and the whole delivery in its job."""
    body = json.loads(PUSH.read_text())["body"].encode()
    answer = sender.send(body, x_github_delivery="one", x_github_event="push", authorization="Basic c2VjcmV0")
    assert answer.status == 202
    sha256 = hashlib.sha256(body).hexdigest()
    assert answer.json["execution_id"] == derived_id("delivery", sender.webhook_id, f"one:{sha256}")
    assert (is_uuid(answer.json["delivery_id"]), answer.json["duplicate"]) == (True, False)
    job = run(sender.services.producer.peek(answer.json["execution_id"]))
    assert job is not None
    assert job.delivery is not None
    assert job.tenant_id == sender.actor.tenant_id
    assert job.delivery["body"].encode() == body
    assert "authorization" not in job.delivery["headers"]
    expected = {
        "workflow_id": sender.workflow_id,
        "webhook_id": sender.webhook_id,
        "delivery_id": answer.json["delivery_id"],
        "event_type": "push",
        "body_sha256": sha256,
        "size_bytes": len(body),
        "content_type": "application/json",
    }
    assert {name: job.delivery[name] for name in expected} == expected


@pytest.mark.parametrize(("place", "name"), [("header:X-Token", "x-token"), ("query:token", "token")])
def test_where_the_secret_itself_is_sent_it_is_not_kept(wired: Services, place: str, name: str) -> None:
    """Neither in the job of a run nor in the delivery log's line of a refusal."""
    sender = Sender.of(wired, "generic_token", place=place)
    sent: JsonObject = {"signed": {name: sender.secret}} if "header" in place else {"signed": {}}
    if "query" in place:
        sent["query"] = {name: sender.secret, "other": "1"}
    job = run(wired.producer.peek(sender.send(**sent).json["execution_id"]))
    assert job is not None
    assert sender.secret not in json.dumps(job.data())
    wrong = sender.secret[:-1] + "~"
    sent = json.loads(json.dumps(sent).replace(sender.secret, wrong))
    assert sender.send(**sent).status == 401
    assert wrong not in json.dumps(ledger(sender))


def test_an_unverified_webhook_takes_everything(wired: Services) -> None:
    """Its owner has said so."""
    sender = Sender.of(wired, "generic_token", variant="unverified", accept_unverified=True)
    assert sender.send(b'{"n": 1}', signed={}).status == 202


def test_the_same_delivery_again_is_a_duplicate(sender: Sender) -> None:
    """200 with the first answer's ids."""
    first, again = sender.send(x_github_delivery="one"), sender.send(x_github_delivery="one")
    assert (first.status, again.status) == (202, 200)
    assert again.json == {**first.json, "duplicate": True}
    assert run(sender.services.consumer.counts())["wait"] == 1


def test_the_same_signed_id_with_other_bytes_is_refused(wired: Services) -> None:
    """A signed id names one body; another under it is a contradiction."""
    sender = Sender.of(wired, "standard_webhooks")
    assert sender.send(b'{"n": 1}', signed=sender.signed(b'{"n": 1}', webhook_id="m1")).status == 202
    answer = sender.send(b'{"n": 2}', signed=sender.signed(b'{"n": 2}', webhook_id="m1"))
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert run(wired.consumer.counts())["wait"] == 1


@pytest.mark.parametrize("signature", [None, "", "sha256=" + "0" * 64, "sha256=nonsense"])
def test_a_forged_delivery_is_refused_whatever_its_body(sender: Sender, signature: str | None) -> None:
    """401, also when the body is no JSON: nothing is parsed before it verifies."""
    headers = {"content-type": "application/json", **({} if signature is None else {"x-hub-signature-256": signature})}
    answer = sender.send(b"{not json", signed=headers)
    assert (answer.status, answer.json["code"]) == (401, "invalid_signature")
    assert answer.headers["content-type"] == "application/problem+json"
    assert run(sender.services.consumer.counts())["wait"] == 0


def test_a_forgery_takes_no_deliverys_place(wired: Services) -> None:
    """Nothing is deduplicated before it verifies: who sends a delivery's id first, or the delivery itself too late,
    makes the real one no duplicate and no contradiction."""
    sender = Sender.of(wired, "standard_webhooks")
    right = sender.signed(b'{"n": 1}', webhook_id="m1")
    forged = {**right, "webhook-signature": "v1," + "A" * 43 + "="}
    stale = sender.signed(b'{"n": 2}', now=time.time() - 600, webhook_id="m1")
    assert sender.send(b'{"n": 1}', signed=forged).status == 401
    assert sender.send(b'{"n": 2}', signed=stale).status == 401
    answer = sender.send(b'{"n": 1}', signed=right)
    assert (answer.status, answer.json["duplicate"]) == (202, False)


def test_a_stale_delivery_is_refused(wired: Services) -> None:
    """An old one replayed is 401 like a forgery; the sender learns no more, the owner reads how old it was."""
    sender = Sender.of(wired, "standard_webhooks")
    headers = sender.signed(now=time.time() - 600, webhook_id="m1")
    answer = sender.send(signed=headers)
    (line,) = ledger(sender)
    assert (answer.status, answer.json["code"], "old" in answer.text) == (401, "invalid_signature", False)
    assert (line["verdict"], line["reason"][:20]) == ("rejected_stale", "timestamp_too_old: 6")


def test_a_body_that_is_no_json_is_accepted_when_it_verifies(sender: Sender) -> None:
    """What a body means is for the run; intake takes any bytes."""
    answer = sender.send(b"\xff\x00 not text")
    job = run(sender.services.producer.peek(answer.json["execution_id"]))
    assert job is not None
    assert job.delivery is not None
    assert (answer.status, job.delivery["body_encoding"], job.delivery["body"]) == (202, "base64", "/wAgbm90IHRleHQ=")


def test_text_and_base64_events_are_one_delivery(sender: Sender) -> None:
    """API Gateway's two ways to hand a body over give the same bytes."""
    body = '{"name": "Zoë"}'
    first = sender.send(body.encode(), x_github_delivery="one")
    event = {
        "headers": sender.signed(body.encode(), x_github_delivery="one"),
        "requestContext": {"http": {"method": "POST"}},
        "pathParameters": {"webhookId": sender.webhook_id, "provider": "github"},
        "isBase64Encoded": False,
        "body": body,
    }
    assert sender.invoke(event).json == {**first.json, "duplicate": True}


def test_nobody_is_at_home_elsewhere(sender: Sender) -> None:
    """Another id, no id, and another provider's path are 404."""
    for where in ({"webhook_id": new_id()}, {"webhook_id": "nonsense"}, {"path": "generic_hmac"}, {"path": "../x"}):
        answer = sender.send(**where)
        assert (answer.status, answer.json["code"]) == (404, "not_found"), where


def test_a_paused_webhook_is_gone_and_comes_back(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """410 while it is paused, within the time that a process remembers."""
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.REFUSAL_MEMORY_SECONDS", 0.0)
    statuses = [sender.send(b"1").status]
    for status in ("paused", "active"):
        command = UpdateWebhook(name="h", workflow_id=sender.workflow_id, provider="github", status=status)
        run(update_webhook(sender.services, sender.actor, sender.webhook_id, command, provider_rules("github")))
        statuses.append(sender.send(status.encode()).status)
    assert statuses == [202, 410, 202]


def test_an_unpublished_workflow_takes_no_deliveries(wired: Services) -> None:
    """Accepting what cannot run would lose it: 410 from the start, and after unpublishing."""
    answer = Sender.of(wired, "github", publish=False).send()
    assert (answer.status, answer.json["code"]) == (410, "webhook_paused")
    sender = Sender.of(wired, "github")
    run(unpublish_workflow(wired, sender.actor, sender.workflow_id))
    assert sender.send().status == 410


def test_too_large_is_refused_before_anything_else(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 for a body above the limit, wherever it is sent and however it is signed."""
    monkeypatch.setattr(arrival, "MAX_BODY_BYTES", 100)
    assert sender.send(b"x" * 100).status == 202
    assert sender.send(b"x" * 101, webhook_id=new_id(), signed={}).status == 413


def test_the_largest_event_is_measured_as_it_comes(sender: Sender) -> None:
    """4.5 MB are taken, in text and in base64; one byte more is 413."""
    headers = {"content-type": "application/octet-stream"}
    assert sender.send(b"x" * 4_500_000, signed=sender.signed(b"x" * 4_500_000, **headers)).status == 202
    assert sender.send(b"x" * 4_500_001, signed=headers).status == 413


def test_a_ping_is_answered_and_starts_nothing(sender: Sender) -> None:
    """GitHub's ping verifies like a delivery and is answered with 200; a forged one is 401."""
    assert sender.send(x_github_event="ping").status == 200
    assert sender.send(signed={"x-github-event": "ping"}).status == 401
    assert run(sender.services.consumer.counts())["wait"] == 0


@pytest.mark.parametrize(("provider_id", "method", "status"), [("generic_hmac", "HEAD", 200), ("github", "GET", 404)])
def test_probes_are_answered_as_the_provider_wants(wired: Services, provider_id: str, method: str, status: int) -> None:
    """GET and HEAD are for handshakes only."""
    assert Sender.of(wired, provider_id).send(b"", method=method, signed={}).status == status


def test_a_webhook_that_redis_lost_is_found_in_supabase(sender: Sender) -> None:
    """After a flush the webhook is read from Supabase, and Redis knows it again."""
    run(sender.services.redis.flushall())
    assert sender.send().status == 202
    assert run(sender.services.config_cache.webhook_config(sender.webhook_id)).is_fresh


@pytest.mark.parametrize(("expires_at", "status"), [("2999-01-01T00:00:00Z", 202), ("2001-01-01T00:00:00Z", 401)])
def test_a_rotated_secret_verifies_until_it_expires(sender: Sender, expires_at: str, status: int) -> None:
    """Beside the new secret the old one opens during its grace, and not afterwards."""
    config: JsonObject = run(sender.services.config_cache.webhook_config(sender.webhook_id)).config or {}
    new = run(encrypt("the new secret", secret_context(sender.actor.tenant_id, sender.webhook_id)))
    old = {**config["secrets"][0], "expires_at": expires_at}
    rotated = {**config, "secrets": [{"secret": new, "expires_at": None}, old]}
    seen = run(sender.services.config_cache.webhook_config(sender.webhook_id))
    assert run(sender.services.config_cache.refill_webhook(sender.webhook_id, rotated, seen))
    assert sender.send().status == status


def test_a_failure_of_ours_is_a_problem(sender: Sender) -> None:
    """A request that no gateway sends still gets a problem, not a stack trace."""
    answer = sender.invoke({"pathParameters": {}})
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
