"""A webhook that holds its deliveries: they are stored, and run when it is active again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from functions.drain.work import drain
from functions.intake import app
from local.tools import rebuild
from shared.bootstrap import Services
from shared.commands.executions.cancel_execution import CancelExecution, cancel_execution
from shared.commands.executions.replay_execution import ReplayExecution, replay_execution
from shared.commands.webhooks.delete_webhook import delete_webhook
from shared.commands.workflows.create_workflow import CreateWorkflow, create_workflow
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.errors import NotPublishedError
from shared.platform.runtime import run
from tests.integration.invoke_api import invoke_api
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import GRAPH, Answer, Sender, ledger, set_status


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 0.0)
    monkeypatch.setattr("shared.webhooks.intake.webhook_cache.REFUSAL_MEMORY_SECONDS", 0.0)


def activate(sender: Sender) -> None:
    """The webhook is active again."""
    set_status(sender, "active")


def delete(sender: Sender) -> None:
    """The webhook is gone."""
    run(delete_webhook(sender.services, sender.actor, sender.webhook_id))


@pytest.fixture
def holding(sender: Sender) -> Sender:
    """A sender to a webhook that holds."""
    set_status(sender, "holding")
    return sender


def runs_of(sender: Sender) -> dict[str, str]:
    """Status by id."""
    rows = run(sender.services.executions.list(sender.actor.tenant_id, 100))
    return {row["id"]: row["status"] for row in rows}


def drained() -> None:
    """Whatever is queued or due has been run."""
    run(drain(lambda: 10.0))


def test_held_deliveries_run_once_and_in_order_when_the_webhook_is_active(holding: Sender) -> None:
    """202 with the id that the run has; until then it is queued and not due, with a line in the delivery log."""
    answers = [holding.send(b'{"n": %d}' % number, x_github_event="push") for number in range(3)]
    assert [(answer.status, answer.json["held"], answer.json["duplicate"]) for answer in answers] == [
        (202, True, False)
    ] * 3
    ids = [answer.json["execution_id"] for answer in answers]
    drained()
    assert runs_of(holding) == dict.fromkeys(ids, "queued")
    assert [(line["verdict"], line["verified"]) for line in ledger(holding)] == [("held", True)] * 3
    set_status(holding, "active")
    rows = [run(holding.services.executions.get(holding.actor.tenant_id, each)) for each in ids]
    due = [row["wake_at"] for row in rows if row is not None]
    assert due == sorted(due)
    drained()
    assert runs_of(holding) == dict.fromkeys(ids, "succeeded")
    drained()
    kinds = [event.event_type for event in run(holding.services.events.read_all(holding.actor.tenant_id, ids[0]))]
    assert len(kinds) == len(set(kinds))


def test_a_run_that_was_held_for_long_breaks_no_promise(holding: Sender, servers: Servers) -> None:
    """Neither while it is held nor when it is released: that is when it begins."""
    answer = holding.send(b"1")
    run_id, tenant_id = answer.json["execution_id"], holding.actor.tenant_id
    with psycopg.connect(servers.supabase.database_url, autocommit=True) as connection:
        query = "update event_store set created_at = created_at - interval '1 hour' where stream_id = %s"
        connection.execute(query, [run_id])
    assert run(holding.services.executions.invariant_violations(300, tenant_id=tenant_id)) == []
    set_status(holding, "active")
    assert run(holding.services.executions.invariant_violations(300, tenant_id=tenant_id)) == []


def test_forged_and_filtered_ones_are_not_held(holding: Sender) -> None:
    """What would not run when it is active does not run later either."""
    configure_holding(holding, event_types=["push"])
    assert holding.send(b"1", signed={}).status == 401
    assert holding.send(b"2", x_github_event="issues").json == {"filtered": True}
    assert holding.send(b"3", x_github_event="ping").status == 200
    assert runs_of(holding) == {}


def test_a_repeated_held_delivery_is_a_duplicate(holding: Sender) -> None:
    """By the store, which knows it by the run's id; also after the release, and many at once."""

    async def together() -> list[Any]:
        event = holding.event(b'{"n": 1}', x_github_delivery="one")
        return list(await asyncio.gather(*(app.handle(event) for _ in range(8))))

    answers = [Answer(each["statusCode"], each["headers"], each["body"]) for each in run(together())]
    assert sorted(answer.status for answer in answers) == [200] * 7 + [202]
    assert all(answer.json["held"] for answer in answers)
    set_status(holding, "active")
    drained()
    again = holding.send(b'{"n": 1}', x_github_delivery="one")
    drained()
    assert again.json["execution_id"] == answers[0].json["execution_id"]
    assert list(runs_of(holding).values()) == ["succeeded"]


def test_other_bytes_under_a_held_deliverys_id_are_refused(wired: Services) -> None:
    """As they are while it is active."""
    sender = Sender.of(wired, "standard_webhooks", status="holding")
    assert sender.send(b'{"n": 1}', signed=sender.signed(b'{"n": 1}', webhook_id="m1")).status == 202
    assert sender.send(b'{"n": 2}', signed=sender.signed(b'{"n": 2}', webhook_id="m1")).status == 409


def test_more_than_a_webhook_may_hold_is_429(holding: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; a cancelled one makes room, and what is held stays."""
    monkeypatch.setattr("shared.webhooks.intake.fallback_store.MAX_HELD", 2)
    first, second, third = (holding.send(body) for body in (b"1", b"2", b"3"))
    assert [first.status, second.status, third.status] == [202, 202, 429]
    assert int(third.headers["Retry-After"]) > 0
    run(cancel_execution(holding.services, holding.actor, first.json["execution_id"], CancelExecution()))
    assert holding.send(b"3").status == 202
    monkeypatch.setattr("shared.webhooks.intake.fallback_store.MAX_HELD", 100)
    monkeypatch.setattr("shared.webhooks.intake.fallback_store.MAX_HELD_BYTES", 100)
    assert holding.send(b"x" * 200).status == 429
    assert "held_full" in [line["reason"] for line in ledger(holding)]


@pytest.mark.parametrize("whose", ["webhook", "tenant"])
def test_limits_hold_while_it_holds(holding: Sender, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    """The webhook's own and its tenant's: each held delivery is a write of the store."""
    if whose == "tenant":
        settings = holding.services.settings._replace(tenant_deliveries_per_second=1)
        monkeypatch.setattr(holding.services, "settings", settings)
    else:
        configure_holding(holding, rate_limit={"per_minute": 6, "burst": 1})
    answers = [holding.send(body) for body in (b"1", b"2")]
    assert [answer.status for answer in answers] == [202, 429]
    assert int(answers[1].headers["Retry-After"]) >= 1
    assert list(runs_of(holding).values()) == ["queued"]
    assert sorted(line["verdict"] for line in ledger(holding)) == ["held", "throttled"]


def test_without_the_store_nothing_is_held(holding: Sender, servers: Servers) -> None:
    """503: the provider keeps it."""
    assert holding.send(b"1").status == 202
    servers.supabase.stop()
    try:
        answer = holding.send(b"2")
    finally:
        servers.supabase.start()
    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)


def test_a_delivery_that_meets_the_release_is_not_left_behind(holding: Sender) -> None:
    """Whichever is first, the store sees the other: a process that still believes in the hold runs it at once."""
    run(holding.services.config_cache.webhook_config(holding.webhook_id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.webhooks.intake.webhook_cache.MEMORY_SECONDS", 60.0)
        assert holding.send(b"1").json["held"]
        set_status(holding, "active")
        answer = holding.send(b"2")
    assert (answer.status, "held" in answer.json) == (202, False)
    drained()
    assert sorted(runs_of(holding).values()) == ["succeeded"] * 2


def test_releases_and_deliveries_at_once_leave_nothing_behind(holding: Sender) -> None:
    """Deliveries go on while the status changes to and fro; in the end each has run once."""

    async def deliver(numbers: range) -> list[Any]:
        events = [holding.event(b'{"n": %d}' % number) for number in numbers]
        return [await app.handle(event) for event in events]

    answers: list[Any] = []
    for turn in range(4):

        async def both(turn: int = turn) -> list[Any]:
            change = asyncio.to_thread(_in_another_process, holding, "active" if turn % 2 == 0 else "holding")
            delivering, _ = await asyncio.gather(deliver(range(turn * 10, turn * 10 + 10)), change)
            return delivering

        answers += run(both())
    set_status(holding, "active")
    assert {answer["statusCode"] for answer in answers} == {202}
    drained()
    assert list(runs_of(holding).values()) == ["succeeded"] * 40


def test_a_delivery_that_is_just_being_held_is_seen_by_the_release(holding: Sender, servers: Servers) -> None:
    """The change of the status waits for it; else the delivery would be held by a webhook that is active."""
    url = servers.supabase.database_url
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection, psycopg.connect(url) as other:
        other.execute("lock table webhook_deliveries in share mode")

        async def wait_for(number: int, task: asyncio.Future[Any]) -> None:
            while not task.done() and connection.execute(waits).fetchall() != [(number,)]:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.005)

        async def both() -> Any:
            delivering = asyncio.create_task(app.handle(holding.event(b"1")))
            await wait_for(1, delivering)
            change = asyncio.create_task(asyncio.to_thread(_in_another_process, holding, "active"))
            await wait_for(2, change)
            other.rollback()
            return (await asyncio.gather(delivering, change))[0]

        assert json.loads(run(both())["body"])["held"]
    drained()
    assert list(runs_of(holding).values()) == ["succeeded"]


def test_the_release_is_one_transaction_with_the_change(holding: Sender, servers: Servers) -> None:
    """A process that dies in the middle of it has changed nothing; doing it again runs what was held."""
    assert holding.send(b"1").status == 202
    with psycopg.connect(servers.supabase.database_url, autocommit=True) as connection:
        # The release cannot go on while somebody has the run's row; the gateway is killed meanwhile.
        with psycopg.connect(servers.supabase.database_url) as other, ThreadPoolExecutor() as threads:
            other.execute("select from executions where webhook_id = %s for update", [holding.webhook_id])
            change = threads.submit(_in_another_process, holding, "active")
            while not connection.execute("select from pg_stat_activity where wait_event_type = 'Lock'").fetchall():
                pass
            assert servers.supabase.process is not None
            os.kill(servers.supabase.process.pid, signal.SIGKILL)
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
            servers.supabase.process.wait()
            other.rollback()
            with pytest.raises(Exception):  # noqa: B017, PT011 -- whatever its client makes of a server that dies
                change.result(60)
        servers.supabase.start()
        query = "select status from webhooks where id = %s"
        assert connection.execute(query, [holding.webhook_id]).fetchall() == [("holding",)]
    set_status(holding, "active")
    drained()
    assert list(runs_of(holding).values()) == ["succeeded"]


def test_while_nothing_would_run_them_held_deliveries_are_not_released(holding: Sender) -> None:
    """422 for the change; deliveries are held on, and to a stranger nothing is there."""
    assert holding.send(b"1").status == 202
    run(unpublish_workflow(holding.services, holding.actor, holding.workflow_id))
    assert (holding.send(b"2").status, holding.send(b"3", signed={}).status) == (202, 404)
    with pytest.raises(NotPublishedError):
        set_status(holding, "active")
    set_status(holding, "paused")
    assert list(runs_of(holding).values()) == ["queued"] * 2


def test_what_is_held_for_another_workflow_is_not_released_to_fail(holding: Sender) -> None:
    """A delivery's run is of the workflow that the webhook had when it came; that one has to be published."""
    assert holding.send(b"1").status == 202
    workflow = run(create_workflow(holding.services, holding.actor, CreateWorkflow(name="w", **GRAPH)))
    run(publish_workflow(holding.services, holding.actor, workflow.id))
    set_status(replace(holding, workflow_id=workflow.id), "holding")
    run(unpublish_workflow(holding.services, holding.actor, holding.workflow_id))
    with pytest.raises(NotPublishedError, match=holding.workflow_id):
        set_status(replace(holding, workflow_id=workflow.id), "active")
    assert list(runs_of(holding).values()) == ["queued"]
    run(publish_workflow(holding.services, holding.actor, holding.workflow_id))
    set_status(replace(holding, workflow_id=workflow.id), "active")
    drained()
    assert list(runs_of(holding).values()) == ["succeeded"]


def test_a_deleted_webhook_has_what_it_holds_run(holding: Sender) -> None:
    """It was accepted."""
    holding.send(b"1")
    delete(holding)
    drained()
    assert list(runs_of(holding).values()) == ["succeeded"]


def test_what_a_deleted_webhook_held_for_nobody_can_be_replayed(holding: Sender) -> None:
    """Its workflow was not published: the run says so, and still has the delivery."""
    execution_id = holding.send(b'{"n": 7}').json["execution_id"]
    run(unpublish_workflow(holding.services, holding.actor, holding.workflow_id))
    delete(holding)
    drained()
    row = run(holding.services.executions.get(holding.actor.tenant_id, execution_id))
    assert row is not None
    assert row["error"]["code"] == "not_published"
    run(publish_workflow(holding.services, holding.actor, holding.workflow_id))
    again = run(replay_execution(holding.services, holding.actor, execution_id, ReplayExecution(mode="live")))
    drained()
    assert runs_of(holding) == {execution_id: "failed", again: "succeeded"}


@pytest.mark.parametrize("change", [activate, delete])
@pytest.mark.parametrize("released", [True, False])
def test_a_drain_comes_for_what_was_held(
    holding: Sender, monkeypatch: pytest.MonkeyPatch, change: Callable[[Sender], None], released: bool
) -> None:
    """At once, and not with the minute's schedule; for none that is held, none comes."""
    if released:
        holding.send(b"1")
    with invoke_api(monkeypatch) as invoked:
        change(holding)
    assert [payload["source"] for payload in invoked.payloads] == ["wake"] * released


def test_a_rebuild_of_the_read_models_releases_nothing(holding: Sender, servers: Servers) -> None:
    """A hold is no fact of the run; the row is made anew and is not due all the same."""
    holding.send(b"1")
    with rebuild.connect(servers.supabase.url, servers.supabase.service_key) as client:
        rebuild.rebuild(client)
    drained()
    assert list(runs_of(holding).values()) == ["queued"]
    set_status(holding, "active")
    drained()
    assert list(runs_of(holding).values()) == ["succeeded"]


def configure_holding(sender: Sender, **config: Any) -> None:
    """Gives it a configuration; it goes on to hold."""
    sender.config.update(config)
    set_status(sender, "holding")


def _in_another_process(sender: Sender, status: str) -> None:
    """The change over connections of its own, on an event loop of its own."""

    async def change() -> None:
        from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
        from shared.repositories.database import Database
        from shared.webhooks.providers.rules import provider_rules

        settings = sender.services.settings
        own = Services(Database(settings.supabase_url, settings.supabase_key), settings)
        about = {"name": "h", "workflow_id": sender.workflow_id, "provider": sender.provider_id}
        command = UpdateWebhook.model_validate({**about, "status": status})
        try:
            await update_webhook(own, sender.actor, sender.webhook_id, command, provider_rules(sender.provider_id))
        finally:
            await own.close()

    asyncio.run(change())
