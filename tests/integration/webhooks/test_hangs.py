"""Redis or Supabase takes everything and answers nothing: intake answers in time, by what it knows or another way."""

from __future__ import annotations

import time

import pytest

from functions.intake import app
from shared.bootstrap import Services
from shared.platform.runtime import run
from shared.queries.executions.await_answer import await_answer
from tests.custom_scheme import SCHEME
from tests.faults.hanging_servers import frozen
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Sender

# What a delivery may take at worst is less than two seconds; the rest is for a machine that is busy with other things.
GENEROUS_SECONDS = 6.0


def test_while_redis_hangs_deliveries_go_around_it(sender: Sender, servers: Servers) -> None:
    """Each is a run in the store, and not each waits until it is clear that Redis does not answer."""
    assert sender.send(b"0").status == 202
    started = time.monotonic()
    with frozen(servers.redis):
        answers = [sender.send(b"%d" % number) for number in range(1, 9)]
        elapsed = time.monotonic() - started
        assert [answer.status for answer in answers] == [202] * 8
        for answer in answers:
            assert run(sender.services.executions.get(sender.actor.tenant_id, answer.json["execution_id"]))
    assert elapsed < 2 * GENEROUS_SECONDS


def test_a_process_that_knows_nothing_yet_goes_around_a_redis_that_hangs(sender: Sender, servers: Servers) -> None:
    """The webhook comes from the store; having waited for Redis once, the delivery does not wait for it again."""
    app.intake.cache_clear()
    started = time.monotonic()
    with frozen(servers.redis):
        assert sender.send(b"1").status == 202
        assert time.monotonic() - started < GENEROUS_SECONDS
        refused = sender.send(b"2", signed={})
    assert refused.status == 401


@pytest.mark.parametrize("is_warm", [True, False], ids=["memory", "redis"])
def test_while_supabase_hangs_the_last_known_webhook_serves(
    sender: Sender, servers: Servers, monkeypatch: pytest.MonkeyPatch, is_warm: bool
) -> None:
    """From this process's memory, or from Redis; deliveries are queued, and only the first of them waits."""
    monkeypatch.setattr("shared.queue.cache.FRESH_SECONDS", -1)
    with monkeypatch.context() as patch:
        patch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)
        assert sender.send(b"before").status == 202
    if is_warm:
        run(sender.services.redis.delete(sender.services.redis_keys.webhook(sender.webhook_id)))
    else:
        app.intake.cache_clear()
    started = time.monotonic()
    with frozen(servers.supabase):
        answers = [sender.send(b"%d" % number) for number in range(8)]
    assert [answer.status for answer in answers] == [202] * 8
    assert time.monotonic() - started < GENEROUS_SECONDS
    assert run(sender.services.consumer.counts())["wait"] == 9


def test_while_both_hang_the_provider_is_asked_to_try_again(wired: Services, servers: Servers) -> None:
    """503 with Retry-After, long before the provider or the gateway would give up; also for an unknown webhook."""
    sender, stranger = Sender.of(wired, "github"), Sender.of(wired, "github")
    assert sender.send(b"1").status == 202
    with frozen(servers.redis, servers.supabase):
        started = time.monotonic()
        answers = [sender.send(b"2"), stranger.send(b"2")]
        elapsed = time.monotonic() - started
    assert [(answer.status, int(answer.headers["Retry-After"]) > 0) for answer in answers] == [(503, True)] * 2
    assert elapsed < 2 * 15


def test_a_handshake_waits_for_no_store_that_hangs(wired: Services, servers: Servers) -> None:
    """What a first delivery has to store, it can store later: 503, and the provider comes again."""
    sender = Sender.of(wired, "custom", scheme=SCHEME)
    signed = sender.signed(b"{}")
    started = time.monotonic()
    with frozen(servers.supabase):
        assert sender.send(b"{}", signed=signed).status == 503
    assert time.monotonic() - started < 2 * GENEROUS_SECONDS
    assert sender.send(b"{}", signed=signed).json == {"verified": True, "live": True}


@pytest.mark.parametrize("hanging", [["redis"], ["supabase"], ["redis", "supabase"]], ids="+".join)
def test_who_waits_for_a_run_is_told_in_time_that_there_is_no_answer_yet(
    sender: Sender, servers: Servers, hanging: list[str]
) -> None:
    """Neither of the two that are asked for it holds the answer up beyond the time that was given."""
    services, execution_id = sender.services, sender.send(b"1").json["execution_id"]
    repositories = (services.replies, services.events, services.executions)
    with frozen(*(getattr(servers, name) for name in hanging)):
        started = time.monotonic()
        assert run(await_answer(*repositories, sender.actor.tenant_id, execution_id, 1.0)) is None
        assert time.monotonic() - started < GENEROUS_SECONDS
