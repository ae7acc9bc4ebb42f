"""Redis, Supabase, or both out of reach: what is acknowledged is never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from shared.bootstrap import Services
from shared.platform.runtime import run
from shared.repositories import database
from shared.settings import settings
from shared.webhooks.intake.fallback_store import store_run
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Sender


@pytest.fixture(autouse=True)
def _all_running_afterwards(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("shared.queue.connection.CIRCUIT_OPEN_SECONDS", 0.0)
    yield
    if servers.redis.process is None:
        servers.redis.start()
    if servers.supabase.process is None:
        servers.supabase.start()


def test_without_redis_a_delivery_becomes_a_run_that_is_due(wired: Services, servers: Servers) -> None:
    """202 from Supabase alone: the run is queued, due at once, and in the delivery log."""
    sender = Sender.of(wired, "github")
    servers.redis.stop()
    answer = sender.send(b'{"n": 7}', x_github_delivery="one", x_github_event="push")
    assert answer.status == 202
    execution_id, tenant_id = answer.json["execution_id"], sender.actor.tenant_id
    row = run(wired.executions.get(tenant_id, execution_id))
    assert row is not None
    assert row["status"] == "queued"
    assert row["wake_at"] == row["created_at"]
    (event,) = run(wired.events.read_all(tenant_id, execution_id))
    assert (event.event_type, event.payload["trigger"]["body"]) == ("ExecutionQueued", {"n": 7})
    (line,) = run(wired.webhooks.deliveries(tenant_id, sender.webhook_id, 10))
    assert (line["id"], line["verdict"], line["event_type"]) == (answer.json["delivery_id"], "accepted", "push")


def test_redis_that_refuses_a_delivery_loses_none(wired: Services) -> None:
    """Another client has spoilt a key: the delivery goes past Redis, as when nobody is there."""
    sender = Sender.of(wired, "github")
    run(wired.redis.delete(wired.redis_keys.drains))
    run(wired.redis.set(wired.redis_keys.drains, "no sorted set"))
    try:
        answer = sender.send(b'{"n": 7}', x_github_delivery="one", x_github_event="push")
    finally:
        run(wired.redis.delete(wired.redis_keys.drains))
    assert answer.status == 202
    row = run(wired.executions.get(sender.actor.tenant_id, answer.json["execution_id"]))
    assert row is not None
    assert row["status"] == "queued"


def test_without_redis_a_duplicate_is_still_a_duplicate(wired: Services, servers: Servers) -> None:
    """The event store knows a delivery again, and refuses other bytes under a signed id."""
    sender = Sender.of(wired, "standard_webhooks")
    servers.redis.stop()
    first = sender.send(b'{"n": 1}', signed=sender.signed(b'{"n": 1}', webhook_id="m1"))
    again = sender.send(b'{"n": 1}', signed=sender.signed(b'{"n": 1}', webhook_id="m1"))
    other = sender.send(b'{"n": 2}', signed=sender.signed(b'{"n": 2}', webhook_id="m1"))
    assert (first.status, again.status, other.status) == (202, 200, 409)
    assert again.json == {**first.json, "duplicate": True}


def test_what_went_past_redis_is_counted_once(
    wired: Services, servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The metric says how many were accepted so: a repetition is not, nor are other bytes."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    sender = Sender.of(wired, "standard_webhooks")
    servers.redis.stop()
    for body in (b'{"n": 1}', b'{"n": 1}', b'{"n": 2}'):
        sender.send(body, signed=sender.signed(body, webhook_id="m1"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["DeliveriesSpilled"] for line in lines if "DeliveriesSpilled" in line] == [1]


def test_a_delivery_that_the_queue_took_after_all_is_no_duplicate(wired: Services) -> None:
    """When Redis answered too late and the run began before the spill, it is the same delivery, not another."""
    sender = Sender.of(wired, "github")
    job = run(wired.producer.peek(sender.send().json["execution_id"]))
    assert job is not None
    first, again = run(store_run(wired.events, job)), run(store_run(wired.events, job))
    assert first == again
    assert not again.duplicate


def test_without_supabase_deliveries_are_queued(wired: Services, servers: Servers) -> None:
    """Redis alone takes deliveries, also when what it knows is no longer fresh."""
    sender = Sender.of(wired, "github")
    servers.supabase.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.queue.cache.FRESH_SECONDS", -1)
        assert sender.send().status == 202
    assert run(wired.consumer.counts())["wait"] == 1


def test_redis_that_is_back_takes_deliveries_when_supabase_goes(
    wired: Services, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going around Redis for a while after it failed is to be quick; it is no reason to refuse a delivery."""
    monkeypatch.setattr("shared.queue.connection.CIRCUIT_OPEN_SECONDS", 60.0)
    sender = Sender.of(wired, "github")
    assert sender.send(b"1").status == 202
    servers.redis.stop()
    assert sender.send(b"2").status == 202
    servers.redis.start()
    servers.supabase.stop()
    queued = sender.send(b"3")
    assert queued.status == 202
    assert run(wired.producer.peek(queued.json["execution_id"])) is not None
    servers.redis.stop()
    assert sender.send(b"4").status == 503


def test_without_both_the_provider_is_asked_to_try_again(wired: Services, servers: Servers) -> None:
    """503 with Retry-After, for a webhook known to this process and for others; then it works again."""
    sender, stranger = Sender.of(wired, "github"), Sender.of(wired, "github")
    assert sender.send(b"1").status == 202
    servers.redis.stop()
    servers.supabase.stop()
    for answer in (sender.send(b"2"), stranger.send(b"2")):
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json["code"] == "storage_unavailable"
    servers.redis.start()
    servers.supabase.start()
    assert settings().redis_port == servers.redis.port
    assert database.database() is wired.database
    assert sender.send(b"2").status == 202
