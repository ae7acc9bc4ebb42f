"""The delivery log: every delivery has a line, whatever became of it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from functions.drain.work import drain
from functions.intake import app
from shared.bootstrap import Services
from shared.commands.webhooks.redeliver import redeliver
from shared.commands.webhooks.rotate_webhook_secret import RotateWebhookSecret, rotate_webhook_secret
from shared.domain.webhook.delivery import entry_without_run, queued
from shared.engine.run.journal import Piggyback
from shared.errors import InvalidSignatureError, UnprocessableError
from shared.http.responses import problem
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.queries.webhooks.get_delivery import get_delivery
from shared.queue.job import ExecutionJob
from shared.webhooks.intake.fallback_store import StoredRun, store_run
from shared.webhooks.intake.webhook_cache import REFUSAL_MEMORY_SECONDS
from shared.webhooks.providers.catalog import provider_data
from shared.webhooks.providers.rules import provider_rules
from tests.integration.webhooks.sender import JournaledEvents, Sender, configure, ledger


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, b"{}", "header_missing: header:X-Hub-Signature-256"),
        ({"x-hub-signature-256": "sha256=00"}, b"{}", "signature_malformed"),
        ({"x-hub-signature-256": "sha256=" + "0" * 64}, b"{}", "wrong_secret"),
        ({"stripe-signature": "t=1,v1=00"}, b"{}", "wrong_provider_path: this looks like a delivery of stripe"),
    ],
)
def test_a_refusal_says_what_to_mend(sender: Sender, headers: dict[str, str], body: bytes, reason: str) -> None:
    """The owner reads why; the sender is told the same whatever it was."""
    answer = sender.send(body, signed=headers)
    (line,) = ledger(sender)
    assert (answer.status, line["verdict"], line["reason"]) == (401, "rejected_signature", reason)
    assert answer.json == problem(InvalidSignatureError()).body


def test_a_changed_body_is_recognised(sender: Sender) -> None:
    """A proxy that appends a line break is named, not the secret."""
    assert sender.send(b'{"n": 1}\n', signed=sender.signed(b'{"n": 1}')).status == 401
    (line,) = ledger(sender)
    assert line["reason"] == "body_modified: line breaks were added at its end"


def test_another_providers_path_is_recorded(sender: Sender) -> None:
    """404 for the sender, a reason for the owner."""
    assert sender.send(path="stripe").status == 404
    (line,) = ledger(sender)
    assert (line["verdict"], line["reason"]) == ("rejected_malformed", "wrong_provider_path: stripe")


def test_duplicates_and_pings_have_lines(sender: Sender) -> None:
    """What starts no run is in the delivery log too."""
    sender.send(x_github_delivery="one")
    sender.send(x_github_delivery="one")
    sender.send(x_github_event="ping")
    assert sorted(line["verdict"] for line in ledger(sender)) == ["duplicate", "handshake"]


def test_a_flood_becomes_a_count(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker cannot fill the disk: beyond the minute's lines, refusals are counted."""
    monkeypatch.setattr("shared.queue.delivery_log.LINES_PER_MINUTE", 3)
    for number in range(10):
        sender.send(str(number).encode(), signed={})
    lines = ledger(sender)
    assert sorted(line["count"] for line in lines) == [1, 1, 1, 7]
    assert ledger(sender) == lines


def test_event_types_filter_at_the_door(sender: Sender) -> None:
    """Other events are answered with 200 and start nothing."""
    configure(sender, event_types=["pull_request.*", "push"])
    assert sender.send(b"1", x_github_event="push").status == 202
    answer = sender.send(b"2", x_github_event="issues")
    assert (answer.status, answer.json) == (200, {"filtered": True})
    assert [line["verdict"] for line in ledger(sender)] == ["filtered"]


def test_only_allowed_addresses_come_in(sender: Sender) -> None:
    """A signed delivery from elsewhere is refused."""
    configure(sender, ip_allow=["192.0.2.0/24"])
    assert sender.send().status == 401
    assert ledger(sender)[0]["reason"].startswith("ip_not_allowed")


def test_the_answer_is_the_webhooks_own(sender: Sender) -> None:
    """Some providers want their own words."""
    configure(sender, response={"status": 200, "body": "OK", "headers": {"X-Done": "yes"}})
    answer = sender.send()
    assert (answer.status, answer.text, answer.headers["X-Done"]) == (200, "OK", "yes")


def test_the_answer_is_the_providers_own_where_the_webhook_has_none(wired: Services) -> None:
    """Xero wants an empty body, to the same delivery again, too."""
    sender = Sender.of(wired, "xero", secret="an-example-secret-for-xero")
    answers = [sender.send(b'{"events": []}') for _ in range(2)]
    assert [(answer.status, answer.text) for answer in answers] == [(200, ""), (200, "")]
    assert run(wired.consumer.counts())["wait"] == 1


def test_a_rotated_secret_leaves_the_old_one_its_grace(sender: Sender) -> None:
    """Both verify during the grace; with none, the old one stops at once."""
    rules, old = provider_rules("github"), sender.signed(b"1")

    def rotate(**given: Any) -> JsonObject:
        command = RotateWebhookSecret(**given)
        return run(rotate_webhook_secret(sender.services, sender.actor, sender.webhook_id, command, rules))

    rotated = rotate(grace_seconds=3600)
    assert rotated["secret"] != sender.secret
    assert rotated["previous_secret_expires_at"]
    assert sender.send(b"1", signed=old).status == 202
    rotate(grace_seconds=0)
    assert sender.send(b"1", signed=old).status == 401


def test_a_filtered_delivery_can_be_run_after_all(sender: Sender) -> None:
    """Redelivering gives a new run the same bytes."""
    configure(sender, event_types=["push"])
    sender.send(b'{"n": 7}', x_github_event="issues")
    (line,) = ledger(sender)
    again = run(redeliver(sender.services, sender.actor, sender.webhook_id, line["id"]))
    services, tenant_id = sender.services, sender.actor.tenant_id
    (event,) = run(services.events.read_all(tenant_id, again["execution_id"]))
    assert (event.payload["trigger"]["body"], event.payload["trigger"]["event_type"]) == ({"n": 7}, "issues")
    assert run(services.producer.peek(again["execution_id"])) is not None
    whole = run(get_delivery(services.webhooks, services.events, tenant_id, sender.webhook_id, line["id"]))
    assert (whole["body"], whole["raw_body"]) == ({"n": 7}, "eyJuIjogN30=")


def test_a_large_refused_body_is_kept(sender: Sender) -> None:
    """By its hash, once, like a small one."""
    for _ in range(2):
        sender.send(b"x" * 4_500_000, signed={})
    line, _ = ledger(sender)
    tenant_id = sender.actor.tenant_id
    body = run(sender.services.webhooks.delivery_body(tenant_id, line["body_sha256"]))
    assert base64.b64decode(body or "") == b"x" * 4_500_000
    assert run(sender.services.redis.exists(sender.services.redis_keys.ledger_bodies)) == 0


def test_refused_bodies_are_bounded(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """What anybody can send fills no disk: beyond the hour's bytes bodies are not kept, beyond its lines they count."""
    monkeypatch.setattr("shared.queue.delivery_log.REFUSED_BYTES_PER_HOUR", 100)
    monkeypatch.setattr("shared.queue.delivery_log.REFUSED_LINES_PER_HOUR", 3)
    for number in range(5):
        sender.send(b"%d" % number * 50, signed={})
    lines = sorted(ledger(sender), key=lambda line: line["received_at"])
    assert sorted(line["count"] for line in lines) == [1, 1, 1, 2]
    hashes = [line["body_sha256"] for line in lines if line["body_sha256"]]
    bodies = [run(sender.services.webhooks.delivery_body(sender.actor.tenant_id, sha256)) for sha256 in hashes]
    assert [body is not None for body in bodies] == [True, False, False]
    with pytest.raises(UnprocessableError):
        run(redeliver(sender.services, sender.actor, sender.webhook_id, lines[-1]["id"], include_unverified=True))


@pytest.mark.parametrize("keeps", [True, False])
def test_raw_bytes_of_accepted_deliveries_are_kept_where_that_is_wanted(sender: Sender, keeps: bool) -> None:
    """Beside the value that the run sees: for signatures that must be checked again years later."""
    configure(sender, keep_raw_body=keeps)
    raw = b'{ "n":  1.0 }'
    answer = sender.send(raw).json
    run(drain(lambda: 8.0))
    services, tenant_id = sender.services, sender.actor.tenant_id
    whole = run(get_delivery(services.webhooks, services.events, tenant_id, sender.webhook_id, answer["delivery_id"]))
    assert whole["body"] == {"n": 1}
    assert whole.get("raw_body") == (base64.b64encode(raw).decode() if keeps else None)


def test_large_delivery_is_shown_by_its_bytes(sender: Sender) -> None:
    """Beside them what they say would not fit into an answer."""
    configure(sender, keep_raw_body=True)
    raw = b'"' + b"x" * 4_400_000 + b'"'
    answer = sender.send(raw).json
    run(drain(lambda: 8.0))
    services, tenant_id = sender.services, sender.actor.tenant_id
    whole = run(get_delivery(services.webhooks, services.events, tenant_id, sender.webhook_id, answer["delivery_id"]))
    assert (whole["body"], whole["body_omitted"]) == (None, True)
    assert base64.b64decode(whole["raw_body"]) == raw
    assert len(json.dumps(json.dumps(whole))) < 6_291_556


def test_what_was_proven_is_not_bounded_like_what_was_refused(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filtered delivery can be run again, however many were refused before it."""
    monkeypatch.setattr("shared.queue.delivery_log.LINES_PER_MINUTE", 1)
    monkeypatch.setattr("shared.queue.delivery_log.REFUSED_BYTES_PER_HOUR", 0)
    configure(sender, event_types=["push"])
    for _ in range(3):
        sender.send(b"0", signed={})
        sender.send(b"1" * 20_000, x_github_event="issues")
    lines = [line for line in ledger(sender) if line["verdict"] == "filtered"]
    assert len(lines) == 3
    assert run(redeliver(sender.services, sender.actor, sender.webhook_id, lines[0]["id"]))["execution_id"]


async def carried_beside(sender: Sender, line: JsonObject, job: ExecutionJob) -> tuple[bool, StoredRun]:
    """Whether a line went with the append of a run, and what became of the run."""
    piggyback = Piggyback()
    carried = asyncio.create_task(piggyback.ride([line]))
    await asyncio.sleep(0)
    spilled = await store_run(JournaledEvents(sender.services.database, piggyback), job)
    return await carried, spilled


def test_lines_go_with_the_commit_of_runs(sender: Sender) -> None:
    """While anything is appended, no call is made for them alone."""
    job = run(sender.services.producer.peek(sender.send(b"2").json["execution_id"]))
    assert job is not None
    assert job.delivery is not None
    line = entry_without_run(job.delivery, sender.actor.tenant_id, "filtered", None, True) | {"id": new_id()}
    carried, spilled = run(carried_beside(sender, line, job))
    assert (carried, spilled.mismatch) == (True, False)
    lines = run(sender.services.webhooks.deliveries(sender.actor.tenant_id, sender.webhook_id, 10))
    assert sorted(line["verdict"] for line in lines) == ["accepted", "filtered"]


def test_a_line_that_cannot_be_written_fails_no_run(sender: Sender) -> None:
    """The runs' commit is repeated without it."""
    job = run(sender.services.producer.peek(sender.send(b"2").json["execution_id"]))
    assert job is not None
    carried, spilled = run(carried_beside(sender, {"id": "no uuid"}, job))
    assert (carried, spilled.mismatch) == (False, False)
    assert run(sender.services.executions.get(sender.actor.tenant_id, job.execution_id)) is not None


def test_without_a_commit_lines_are_written_on_their_own(sender: Sender) -> None:
    """They wait a moment for one, not for ever."""
    assert run(Piggyback().ride([])) is False
    sender.send(b"1", signed={})
    assert len(ledger(sender)) == 1


def test_a_writer_that_dies_half_way_loses_and_doubles_nothing(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines and counts that were written but not forgotten are written again as the same rows."""
    monkeypatch.setattr("shared.queue.delivery_log.LINES_PER_MINUTE", 1)
    services = sender.services
    for number in range(3):
        sender.send(b"%d" % number, signed={})
    notes = run(services.delivery_log.take("it dies"))
    assert notes is not None
    run(services.webhooks.record([*notes.lines, *notes.counts]))
    run(services.redis.delete(services.redis_keys.ledger_writer))  # its lock has expired
    sender.send(b"4", signed={})
    assert sorted(line["count"] for line in ledger(sender)) == [1, 1, 2]


def test_the_scheduled_drain_writes_what_waits(sender: Sender) -> None:
    """Lines that woke nobody wait for the schedule at most: a drain without any run to do writes them all."""
    for number in range(3):
        sender.send(b"%d" % number, signed={})
    run(drain(lambda: 8.0))
    assert len(run(sender.services.webhooks.deliveries(sender.actor.tenant_id, sender.webhook_id, 10))) == 3
    assert run(sender.services.delivery_log.take("another")) is None


def test_lines_wake_a_drain_where_none_is_live(sender: Sender) -> None:
    """One in ten seconds, so that an owner need not wait for the schedule, and an attacker wakes no crowd."""
    services = sender.services
    row = {"tenant_id": sender.actor.tenant_id, "webhook_id": sender.webhook_id, "verdict": "paused"}
    row |= {"body_sha256": "0" * 64, "size_bytes": 0}

    async def ask() -> list[bool]:
        asked = [await services.delivery_log.append(row), await services.delivery_log.append(row)]
        await sender.services.redis.delete(services.redis_keys.ledger_waking)
        await services.live_drains.announce("a drain", 10)
        return [*asked, await services.delivery_log.append(row)]

    assert run(ask()) == [True, False, False]


def test_a_custom_scheme_goes_live_with_its_first_verified_delivery(wired: Services) -> None:
    """Until one delivery has verified, none starts a run."""
    scheme = {
        "kind": "hmac",
        "algorithm": "sha512",
        "content": "{header:x-id}.{body}",
        "key_encoding": "utf8",
        "signature": {"in": "header:X-Sign", "encoding": "base64", "format": "single"},
    }
    sender = Sender.of(wired, "custom", scheme=scheme, delivery={"id": "header:x-id"})
    assert sender.send(b"1", signed={"x-id": "0", "x-sign": "AAAA"}).status == 401
    answer = sender.send(b"1", x_id="1")
    assert (answer.status, answer.json) == (200, {"verified": True, "live": True})
    assert run(wired.consumer.counts())["wait"] == 0
    assert sender.send(b"2", x_id="2").status == 202


def test_a_webhook_at_its_limit_is_throttled(sender: Sender) -> None:
    """429 with Retry-After beyond the burst; what was accepted before is still a duplicate."""
    configure(sender, rate_limit={"per_minute": 6, "burst": 2})
    answers = [sender.send(body) for body in (b"1", b"2", b"3", b"1")]
    assert [answer.status for answer in answers] == [202, 202, 429, 200]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 10
    assert sorted(line["verdict"] for line in ledger(sender)) == ["duplicate", "throttled"]


def test_a_tenant_at_its_limit_is_throttled(wired: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """All webhooks of a tenant share one bucket."""
    sender = Sender.of(wired, "github")
    monkeypatch.setattr(wired, "settings", wired.settings._replace(tenant_deliveries_per_second=1))
    answers = [sender.send(body) for body in (b"1", b"2")]
    assert [answer.status for answer in answers] == [202, 429]
    assert int(answers[1].headers["Retry-After"]) >= 1


def test_a_handshake_secret_is_kept_once(wired: Services) -> None:
    """The first handshake sets the secret; a later one, which anybody can send, is refused."""
    sender = Sender.of(wired, "asana")
    assert sender.secret is None
    first = sender.send(b"", signed={"x-hook-secret": "the first secret"})
    assert (first.status, first.headers["X-Hook-Secret"]) == (200, "the first secret")
    assert sender.send(b"", signed={"x-hook-secret": "mine now"}).status == 401
    real = replace(sender, secret="the first secret")
    assert real.send(b'{"events": [{"action": "added"}]}').status == 202
    forged = replace(sender, secret="mine now")
    assert forged.send(b'{"events": [{"action": "changed"}]}').status == 401


def test_a_filter_keeps_deliveries_out(sender: Sender) -> None:
    """Over body, headers and query; a path that leads nowhere does not hold."""
    wanted = ("$trigger.body.n > 1", "$trigger.headers.`x-github-event` = 'push'", "$trigger.query.stage = 'live'")
    configure(sender, filter=f"{{% {' and '.join(wanted)} %}}")
    live = {"stage": "live"}
    assert sender.send(b'{"n": 2}', query=live, x_github_event="push").status == 202
    others = ((b'{"n": 1}', "push", live), (b'{"n": 2}', "issues", live), (b"{}", "push", live))
    for body, event, query in (*others, (b'{"n": 2}', "push", {"stage": "test"}), (b'{"n": 2}', "push", {})):
        answer = sender.send(body, query=query, x_github_event=event)
        assert (answer.status, answer.json) == (200, {"filtered": True}), (body, event, query)
    assert [line["reason"] for line in ledger(sender)] == ["filter"] * 5


@pytest.mark.parametrize(
    ("expression", "body", "reason"),
    [
        ("{% $trigger.body.n > 1 %}", b'{"n": "text"}', "filter_failed: "),
        ("{% $trigger.body.n %}", b'{"n": 1}', "filter_failed: it gave a number, not true or false"),
        ("{% $trigger.body.n %}", b'{"n": "yes"}', "filter_failed: it gave a text, not true or false"),
        ("{% $trigger.body.n %}", b'{"n": false}', "filter"),
    ],
)
def test_a_filter_that_fails_keeps_deliveries_out(sender: Sender, expression: str, body: bytes, reason: str) -> None:
    """A run cannot be taken back; a delivery that is in the delivery log, with the reason, can be run again."""
    configure(sender, filter=expression)
    assert sender.send(body).json == {"filtered": True}
    (line,) = ledger(sender)
    assert line["reason"].startswith(reason)
    assert run(redeliver(sender.services, sender.actor, sender.webhook_id, line["id"]))["execution_id"]


def test_a_body_that_is_a_token_reaches_the_run_as_its_claims(wired: Services) -> None:
    """An expression could not read a token; what it says has been verified. Redelivered from the delivery log, too."""
    sender = Sender.of(wired, "dialpad", secret="an-example-secret-for-dialpad")
    vector = (provider_data("dialpad") or {})["vectors"]["good"]
    body = vector["body"].encode()
    job = run(wired.producer.peek(sender.send(body, signed={"content-type": "text/plain"}).json["execution_id"]))
    assert job is not None
    assert job.delivery is not None
    assert queued(job.delivery).trigger["body"]["state"] == "hangup"
    assert job.delivery["body"] == vector["body"]
    configure(sender, filter="{% $trigger.body.state = 'ringing' %}")
    assert sender.send(body, signed={}).json == {"filtered": True}
    (line,) = ledger(sender)
    again = run(redeliver(wired, sender.actor, sender.webhook_id, line["id"]))
    (event,) = run(wired.events.read_all(sender.actor.tenant_id, again["execution_id"]))
    assert event.payload["trigger"]["body"]["state"] == "hangup"


def test_a_secret_that_the_provider_makes_must_be_given(wired: Services) -> None:
    """The error says where in the provider's settings to find it."""
    with pytest.raises(UnprocessableError) as raised:
        Sender.of(wired, "discord")
    (problem,) = raised.value.problems
    assert problem.pointer == "/secret"
    assert problem.suggestion


def test_a_webhook_without_its_secret_takes_no_delivery(wired: Services) -> None:
    """The owner reads what is missing; once the secret is there, deliveries come in."""
    sender = Sender.of(wired, "stripe", status="awaiting_secret")
    assert sender.send(signed={"stripe-signature": "t=1,v1=00"}).status == 401
    (line,) = ledger(sender)
    assert line["reason"] == "secret_missing: the webhook has not been given its secret"
    command = RotateWebhookSecret(secret="whsec_an-example")
    run(rotate_webhook_secret(wired, sender.actor, sender.webhook_id, command, provider_rules("stripe")))
    time.sleep(REFUSAL_MEMORY_SECONDS)
    assert replace(sender, secret="whsec_an-example").send().status == 202


def test_fifty_copies_at_once_are_one_run(sender: Sender) -> None:
    """Exactly one is accepted; all are answered with its ids."""
    event = sender.event(b'{"n": 1}', x_github_delivery="one")

    async def copies() -> list[JsonObject]:
        return list(await asyncio.gather(*(app.handle(event) for _ in range(50))))

    answers = run(copies())
    assert sorted(answer["statusCode"] for answer in answers) == [200] * 49 + [202]
    assert len({json.loads(answer["body"])["execution_id"] for answer in answers}) == 1
    assert run(sender.services.consumer.counts())["wait"] == 1


def test_an_origin_that_asks_is_allowed(wired: Services) -> None:
    """CloudEvents' abuse protection, by OPTIONS."""
    headers = {"webhook-request-origin": "eventemitter.example.com"}
    answer = Sender.of(wired, "cloudevents").send(b"", method="OPTIONS", signed=headers)
    assert (answer.status, answer.headers["WebHook-Allowed-Origin"]) == (200, "eventemitter.example.com")
