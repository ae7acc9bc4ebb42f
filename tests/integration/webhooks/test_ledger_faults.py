"""A line that cannot be written stops no other: it alone is put aside, with a counter and a log line that names it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from shared.bootstrap import Services
from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
from shared.domain.webhook.delivery import entry_without_run
from shared.engine.drain.delivery_log_writer import DeliveryLogWriter
from shared.engine.run.journal import Piggyback
from shared.errors import InvalidRequestError
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.repositories.webhooks import WebhookRepository
from shared.webhooks.intake.fallback_store import store_run
from shared.webhooks.providers.rules import provider_rules
from tests.custom_scheme import ASKED, SCHEME
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import JournaledEvents, Sender, configure, ledger

# What any other client of Redis may leave where the lines are.
GARBAGE = [
    "not JSON",
    "[" * 5000,
    "[]",
    "null",
    "{}",
    '{"id": "1"}',
    "9" * 5000,
    "\x00\x01",
    json.dumps({"tenant_id": new_id(), "webhook_id": new_id(), "verdict": "paused", "body_sha256": 1}),
]


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)


def line_of(sender: Sender, **changes: Any) -> JsonObject:
    """A line as intake leaves it, with these changes."""
    line = {
        "id": new_id(),
        "tenant_id": sender.actor.tenant_id,
        "webhook_id": sender.webhook_id,
        "received_at": "2026-11-01T00:00:00.000000Z",
        "verdict": "paused",
        "reason": None,
        "delivery_key": None,
        "event_type": None,
        "execution_id": None,
        "headers": {},
        "body_sha256": "0" * 64,
        "size_bytes": 0,
        "method": "POST",
        "query": {},
    }
    return line | changes


def leave(services: Services, *lines: object) -> None:
    """Leaves lines where intake does; texts as they are."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    run(services.redis.rpush(services.redis_keys.ledger, *texts))


def waiting(services: Services) -> int:
    """How many lines wait to be written."""
    return run(services.redis.llen(services.redis_keys.ledger))


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "no_such_verdict"},
        {"received_at": "300000-01-01T00:00:00Z"},
        {"size_bytes": 2**40},
        {"tenant_id": "00000000-0000-0000-0000-00000000000g"},
        {"headers": [1]},
        {"headers": {"n": 1}},
        {"execution_id": new_id()},
        {"id": None},
    ],
)
def test_one_bad_line_stops_no_other(sender: Sender, changes: JsonObject, caplog: pytest.LogCaptureFixture) -> None:
    """All the others are written at once, and the culprit is forgotten and named."""
    other = Sender.of(sender.services, "github")
    lines = [line_of(other if number % 2 else sender) for number in range(7)]
    leave(sender.services, *lines[:3], line_of(sender, **changes), *lines[3:])
    with caplog.at_level(logging.ERROR):
        assert len(ledger(sender)) == 4
    assert len(ledger(other)) == 3
    assert waiting(sender.services) == 0
    (record,) = [record for record in caplog.records if record.message == "ledger_line_put_aside"]
    named = record.__dict__["tenant_id"], record.__dict__["webhook_id"]
    assert named == (None if "tenant_id" in changes else sender.actor.tenant_id, sender.webhook_id)


def test_garbage_of_other_clients_is_put_aside(sender: Sender, caplog: pytest.LogCaptureFixture) -> None:
    """What is no line is taken for none; what stands beside it is written."""
    leave(sender.services, *GARBAGE, line_of(sender), *GARBAGE)
    assert len(ledger(sender)) == 1
    assert waiting(sender.services) == 0
    named = [record for record in caplog.records if record.message == "ledger_line_put_aside"]
    assert len(named) == 2 * len(GARBAGE)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("garbage", "1"),
        ("", "1"),
        ("a b c d", "1"),
        ("{tenant} {webhook} paused x", "1"),
        ("{tenant} {webhook} paused 99999999999999", "1"),
        ("{tenant} {webhook} paused 1793000000", "many"),
        ("{tenant} {webhook} paused 1793000000", "-1"),
        ("{tenant} {webhook} paused 1793000000", "99999999999"),
        ("{tenant} {webhook} no_such_verdict 1793000000", "1"),
        ("{tenant} {webhook}  paused 1793000000 more", "1"),
    ],
)
def test_a_bad_count_stops_no_other(sender: Sender, field: str, number: str) -> None:
    """Counts of floods that make no sense are put aside like lines."""
    ids = {"tenant": sender.actor.tenant_id, "webhook": sender.webhook_id}
    good = f"{sender.actor.tenant_id} {sender.webhook_id} paused {int(time.time()) // 60 * 60}"
    counts = {field.format(**ids): number, good: "5"}
    run(sender.services.redis.hset(sender.services.redis_keys.ledger_counts, mapping=counts))
    assert [line["count"] for line in ledger(sender)] == [5]
    assert run(sender.services.redis.exists(sender.services.redis_keys.ledger_taken)) == 0


def test_a_body_that_is_not_what_its_line_says_is_not_kept(sender: Sender) -> None:
    """Neither text that is no base64, nor more of it than the line has bytes."""
    lines = [line_of(sender, body_sha256=str(n) * 64, size_bytes=3) for n in range(3)]
    bodies = dict(zip([line["body_sha256"] for line in lines], ["AAAA", "not base64\x00!", "A" * 4000], strict=True))
    leave(sender.services, *lines)
    mapping = {f"{sender.actor.tenant_id} {sha256}": body for sha256, body in bodies.items()}
    run(sender.services.redis.hset(sender.services.redis_keys.ledger_bodies, mapping=mapping))
    assert len(ledger(sender)) == 3
    webhooks, tenant_id = sender.services.webhooks, sender.actor.tenant_id
    assert [run(webhooks.delivery_body(tenant_id, sha256)) for sha256 in bodies] == ["AAAA", None, None]


def test_a_batch_is_bounded_in_bytes(sender: Sender) -> None:
    """Many large lines are many calls, not one of any size."""
    leave(sender.services, *(line_of(sender, headers={"x": "y" * 100_000}) for _ in range(30)))
    notes = run(sender.services.delivery_log.take("one"))
    assert notes is not None
    assert notes.more
    assert len(notes.lines) < 30
    run(sender.services.delivery_log.finish("one", notes))
    assert len(ledger(sender)) == 30 - len(notes.lines)


def test_a_poisoned_batch_is_carried_once(sender: Sender) -> None:
    """Runs that are committed beside it are sent once more for it, not for ever, and its other lines are written."""
    services = sender.services
    leave(services, line_of(sender), line_of(sender, verdict="no_such_verdict"), line_of(sender))

    async def commits() -> None:
        piggyback = Piggyback()
        events = JournaledEvents(services.database, piggyback)
        writer = DeliveryLogWriter(services.delivery_log, services.webhooks, piggyback, new_id())
        for number in range(3):
            job = await services.producer.peek(accepted[number])
            assert job is not None
            writing = asyncio.create_task(writer.write())
            for _ in range(20):  # until it has taken lines and waits for a commit, if there are any
                await asyncio.sleep(0.005)
                if piggyback.is_waiting or writing.done():
                    break
            await store_run(events, job)
            await writing
            assert await services.redis.llen(services.redis_keys.ledger) == 0

    accepted = [sender.send(b"%d" % number).json["execution_id"] for number in range(3)]
    run(commits())
    verdicts = [
        line["verdict"] for line in run(services.webhooks.deliveries(sender.actor.tenant_id, sender.webhook_id, 9))
    ]
    assert sorted(verdicts) == ["accepted"] * 3 + ["paused"] * 2


def test_lines_wait_while_the_store_is_out_of_reach(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put aside for an outage, nor for a database that takes no lines at all."""
    services = sender.services
    leave(services, line_of(sender))
    monkeypatch.setattr(services.database, "_url", "http://127.0.0.1:9")
    run(services.database.close())
    writer = DeliveryLogWriter(services.delivery_log, services.webhooks, Piggyback(), new_id())
    assert run(writer.write()) is False
    assert waiting(services) == 1
    monkeypatch.undo()
    run(services.database.close())
    run(services.redis.delete(services.redis_keys.ledger_writer))
    assert len(ledger(sender)) == 1


def test_a_filters_message_reaches_the_ledger(sender: Sender) -> None:
    """Text that no database keeps is replaced, however it came into a line."""
    configure(sender, filter="{% $error('a\\u0000b') %}")
    assert sender.send(b"1").json == {"filtered": True}
    assert sender.send(b"2", path="\x00\ud800stripe", signed={}).status == 404
    reasons = sorted(line["reason"] for line in ledger(sender))
    assert reasons[0].startswith("filter_failed: ")
    assert "a\ufffdb" in reasons[0]
    assert reasons[1] == "wrong_provider_path: \ufffd\ufffdstripe"


def test_noncharacters_are_kept() -> None:
    """U+FFFE and U+FFFF are text to Postgres; only what it refuses is replaced."""
    record = {
        "delivery_id": "d",
        "webhook_id": "w",
        "received_at": "r",
        "delivery_key": None,
        "event_type": "\ufffe\uffff",
    }
    record |= {"headers": {"a\x00": "\ud800"}, "body_sha256": "0", "size_bytes": 0, "method": "POST", "query": {}}
    line = entry_without_run(record, "t", "filtered", "x" * 10_000, True)
    assert (line["event_type"], line["headers"]) == ("\ufffe\uffff", {"a\ufffd": "\ufffd"})
    assert len(line["reason"] or "") == 500


def test_lines_wait_while_the_database_takes_none(sender: Sender, servers: Servers) -> None:
    """A right that is missing is no line's fault: none is put aside for it."""
    leave(sender.services, line_of(sender), line_of(sender))
    with psycopg.connect(servers.supabase.database_url, autocommit=True) as connection:
        connection.execute("revoke insert on public.webhook_deliveries from service_role")
        try:
            assert ledger(sender) == []
            assert waiting(sender.services) == 2
        finally:
            connection.execute("grant insert on public.webhook_deliveries to service_role")
    run(sender.services.redis.delete(sender.services.redis_keys.ledger_writer))
    assert len(ledger(sender)) == 2


def test_a_stored_pattern_is_refused_with_its_reason(wired: Services) -> None:
    """The handshake is not answered, whatever is asked, and the delivery log says what is to be written instead."""
    sender = Sender.of(wired, "custom", scheme=SCHEME)
    config = {**sender.config, "handshake": [{**ASKED, "pattern": {"query:c": "(a+)+$"}}]}
    about = {"name": "h", "workflow_id": sender.workflow_id, "provider": "custom", "config": config}
    rules = replace(provider_rules("custom"), config_problems=lambda _: [])
    run(update_webhook(wired, sender.actor, sender.webhook_id, UpdateWebhook.model_validate(about), rules))
    assert sender.send(b"", method="GET", query={"c": "a" * 4000 + "!"}, signed={}).status == 401
    (line,) = ledger(sender)
    assert line["reason"].startswith("config_unusable: handshake.pattern")


def test_a_writer_that_was_interrupted_goes_on(sender: Sender) -> None:
    """A drain that ends while it writes is the one that writes the rest; nobody else does meanwhile."""
    leave(sender.services, line_of(sender))
    services = sender.services
    assert run(services.delivery_log.take("one")) is not None
    assert run(services.delivery_log.take("another")) is None
    again = run(services.delivery_log.take("one"))
    assert again is not None
    run(services.delivery_log.finish("one", again))
    assert run(services.delivery_log.take("another")) is None
    assert waiting(sender.services) == 0


def test_many_counts_are_written_in_many_calls(sender: Sender) -> None:
    """A flood at many webhooks has more of them than one call should carry; each is written once."""
    tenant_id, minute = sender.actor.tenant_id, int(time.time()) // 60 * 60
    fields = {f"{tenant_id} {sender.webhook_id} paused {minute - 60 * n}": str(n + 1) for n in range(1800)}
    fields |= {f"garbage {n}": "1" for n in range(100)}
    run(sender.services.redis.hset(sender.services.redis_keys.ledger_counts, mapping=fields))
    notes = run(sender.services.delivery_log.take("one"))
    assert notes is not None
    assert notes.more
    assert 0 < len(notes.counted) < 1900
    run(sender.services.delivery_log.finish("one", notes))
    run(sender.services.webhooks.record(notes.counts))
    ledger(sender)
    lines = run(sender.services.webhooks.deliveries(tenant_id, sender.webhook_id, 1000, since="2020-01-01T00:00:00Z"))
    older = run(sender.services.webhooks.deliveries(tenant_id, sender.webhook_id, 1000, until=lines[-1]["received_at"]))
    assert sorted(line["count"] for line in [*lines, *older]) == list(range(1, 1801))
    assert run(sender.services.redis.exists(sender.services.redis_keys.ledger_taken)) == 0


class Laborious(WebhookRepository):
    """A store in which a refusal takes so long that a writer's time is over when a few lines have been refused."""

    refusals = 0

    async def record(self, deliveries: Sequence[Any]) -> None:
        try:
            await super().record(deliveries)
        except InvalidRequestError:
            self.refusals += 1
            if self.refusals == 10:
                self.time_is_over()
            raise

    def begin(self, time_is_over: Callable[[], None]) -> None:
        """A turn begins."""
        self.refusals, self.time_is_over = 0, time_is_over


def test_lines_that_take_too_long_together_are_written_a_few_at_a_time(sender: Sender) -> None:
    """Two dozen of a verdict that the database does not know, as when it is older than intake: they block nothing."""
    services = sender.services
    leave(services, *(line_of(sender, verdict="no_such_verdict") for _ in range(24)), line_of(sender))
    webhooks = Laborious(services.database)
    writer = DeliveryLogWriter(services.delivery_log, webhooks, Piggyback(), "slow")

    async def turns() -> None:
        mark, ends = services.redis_keys.ledger_writer, list[asyncio.Task[Any]]()
        for _ in range(100):
            webhooks.begin(lambda: ends.append(asyncio.ensure_future(services.redis.delete(mark))))
            if not await writer.write():
                break
            await asyncio.gather(*ends)

    run(turns())
    assert waiting(services) == 0
    assert len(ledger(sender)) == 1
