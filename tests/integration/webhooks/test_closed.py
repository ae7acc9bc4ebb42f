"""Webhooks that are paused, and such whose workflow is not published: verified before anything else."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bootstrap import Services
from shared.commands.webhooks.redeliver import redeliver
from shared.commands.webhooks.redeliver_many import RedeliverMany, redeliver_many
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.errors import UnprocessableError
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from tests.integration.webhooks.sender import Sender, ledger, set_status

FORGED = {"x-hub-signature-256": "sha256=" + "0" * 64, "x-github-event": "push"}


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.REFUSAL_MEMORY_SECONDS", 0.0)


def run_again(sender: Sender, **command: Any) -> JsonObject:
    """What a bulk redelivery answers."""
    wanted = RedeliverMany.model_validate(command)
    return run(redeliver_many(sender.services, sender.actor, sender.webhook_id, wanted, None))[0]


def triggers(sender: Sender, items: list[dict[str, str]]) -> list[JsonObject]:
    """What the new runs were given."""
    found = []
    for item in items:
        (event,) = run(sender.services.events.read_all(sender.actor.tenant_id, item["execution_id"]))
        found.append(event.payload["trigger"])
    return found


def test_a_paused_webhook_verifies_before_it_says_that_it_is_paused(sender: Sender) -> None:
    """410 for what verifies, with its event type in the delivery log; 401 for what is forged."""
    set_status(sender, "paused")
    right, forged = sender.send(x_github_event="push"), sender.send(signed=FORGED)
    assert (right.status, right.json["code"]) == (410, "webhook_paused")
    assert (forged.status, forged.json["code"]) == (401, "invalid_signature")
    lines = {line["verdict"]: line for line in ledger(sender)}
    assert set(lines) == {"paused", "rejected_signature"}
    assert (lines["paused"]["event_type"], lines["paused"]["verified"]) == ("push", True)
    assert lines["rejected_signature"]["verified"] is False


def test_what_was_forged_while_paused_is_not_run_afterwards(sender: Sender) -> None:
    """A bulk redelivery of what was paused runs what the provider sent, once it is active again, and nothing else."""
    set_status(sender, "paused")
    sender.send(b'{"n": 1}', x_github_event="push")
    sender.send(b'{"n": 666}', signed=FORGED)
    set_status(sender, "active")
    assert len(ledger(sender)) == 2
    answer = run_again(sender, verdict="paused")
    assert (answer["redelivered"], answer["unverified"]) == (1, 0)
    (trigger,) = triggers(sender, answer["items"])
    assert (trigger["body"], "verified" in trigger) == ({"n": 1}, False)


def test_what_did_not_verify_is_run_only_when_that_is_said(sender: Sender) -> None:
    """Many are left out and counted, one is refused with the way to do it; the run's trigger says what it is of."""
    sender.send(b'{"n": 666}', signed=FORGED)
    (line,) = ledger(sender)
    answer = run_again(sender, verdict="rejected_signature")
    assert (answer["redelivered"], answer["skipped"], answer["unverified"]) == (0, 0, 1)
    place = (sender.services, sender.actor, sender.webhook_id, line["id"])
    with pytest.raises(UnprocessableError) as raised:
        run(redeliver(*place))
    assert raised.value.problems[0].pointer == "/include_unverified"
    many = run_again(sender, verdict="rejected_signature", include_unverified=True)
    one = run(redeliver(*place, include_unverified=True))
    assert [trigger["verified"] for trigger in triggers(sender, [*many["items"], one])] == [False, False]
    # The redelivery's own line does not launder it.
    again = next(each for each in ledger(sender) if each["execution_id"] == one["execution_id"])
    assert (again["verdict"], again["verified"]) == ("accepted", False)
    with pytest.raises(UnprocessableError):
        run(redeliver(sender.services, sender.actor, sender.webhook_id, again["id"]))


def test_lines_of_before_are_believed_only_where_they_prove_it(sender: Sender) -> None:
    """A line that does not say whether it verified has a key if it did: paused ones of old have none."""
    row = {
        "tenant_id": sender.actor.tenant_id,
        "webhook_id": sender.webhook_id,
        "received_at": "2026-11-01T00:00:00.000000Z",
        "reason": None,
        "event_type": None,
        "execution_id": None,
        "verified": None,
        "headers": {},
        "body_sha256": None,
        "size_bytes": 0,
    }
    old: list[Any] = [
        {**row, "id": new_id(), "verdict": "paused", "delivery_key": None},
        {**row, "id": new_id(), "verdict": "filtered", "delivery_key": "k"},
    ]
    run(sender.services.webhooks.record(old))
    assert run_again(sender, verdict="paused")["unverified"] == 1
    assert run_again(sender, verdict="filtered")["unverified"] == 0


def test_an_unpublished_workflows_deliveries_have_lines_and_can_be_run_later(sender: Sender) -> None:
    """410 for what verifies; published again, the delivery log has all of it."""
    run(unpublish_workflow(sender.services, sender.actor, sender.workflow_id))
    for number in range(3):
        answer = sender.send(b'{"n": %d}' % number, x_github_event="push")
        assert (answer.status, answer.json["code"]) == (410, "webhook_paused")
    assert [(line["verdict"], line["event_type"]) for line in ledger(sender)] == [("unpublished", "push")] * 3
    run(publish_workflow(sender.services, sender.actor, sender.workflow_id))
    assert run_again(sender, verdict="unpublished")["redelivered"] == 3


@pytest.mark.parametrize(("method", "body"), [("POST", b"{}"), ("GET", b""), ("HEAD", b""), ("OPTIONS", b"")])
@pytest.mark.parametrize("provider_id", ["github", "cloudevents", "generic_hmac"])
def test_a_stranger_cannot_tell_an_unpublished_webhook_from_none(
    wired: Services, provider_id: str, method: str, body: bytes
) -> None:
    """Until something verifies, both are the same 404; the owner reads what came."""
    sender = Sender.of(wired, provider_id, publish=False)
    unpublished = sender.send(body, method=method, signed={})
    unknown = sender.send(body, method=method, signed={}, webhook_id=new_id())
    assert (unpublished.status, unpublished.json) == (unknown.status, unknown.json)
    assert unknown.status == 404


def test_a_ping_that_verifies_does_not_open_what_is_closed(sender: Sender) -> None:
    """A handshake of a paused webhook is 410, as ever, and runs nothing later."""
    set_status(sender, "paused")
    assert sender.send(x_github_event="ping").status == 410
    (line,) = ledger(sender)
    assert (line["verdict"], line["reason"], line["verified"]) == ("handshake", "paused", True)
