"""Runs that wait: what is recorded, what wakes them, and what they cost meanwhile."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from shared.domain.execution.fold import fold
from shared.domain.execution.row import row
from shared.domain.timestamps import unix_seconds
from shared.events.envelope import NewEvent
from shared.ids import new_id
from shared.repositories.append import Append
from tests.integration.engine.harness import HOOK, EngineHarness, delay, request, transform
from tests.integration.engine.sink import Sink

DAYS = 86_400.0


async def test_short_delay_happens_in_the_drain(harness: EngineHarness) -> None:
    """Up to two seconds, a run is one append as if it had not waited."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=0.1)], "hook>pause")
    job = harness.delivery(workflow_id, {"n": 1})
    state = await harness.execute(job)
    names = [event.event_type for event in await harness.events(job)]
    assert names == ["ExecutionQueued", "ExecutionStarted", "NodeSucceeded", "ExecutionSucceeded"]
    assert state.output["body"] == {"n": 1}


async def test_long_delay_is_recorded_and_its_row_says_when_it_ends(harness: EngineHarness) -> None:
    """The run waits, its row is due when the delay ends, and the engine has nothing left to do until then."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=30 * DAYS)], "hook>pause")
    job = harness.delivery(workflow_id)
    seconds = await harness.engine.execute(job)
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert seconds is not None
    assert seconds > 29 * DAYS
    assert row is not None
    assert (row["status"], row["wake_at"]) == ("waiting", (await harness.state(job)).nodes["pause"].wake_at)


async def test_delay_of_thirty_days_ends_after_thirty_days(harness: EngineHarness) -> None:
    """A claim a day early changes nothing; after the end the run goes on, and its delay began but once."""
    nodes = [HOOK, delay("pause", seconds=30 * DAYS), transform("after", "{% $input.body.n %}")]
    workflow_id = await harness.publish(nodes, "hook>pause", "pause>after")
    job = harness.delivery(workflow_id, {"n": 1})
    waiting = await harness.execute(job)
    early = await harness.execute_later(job, 29 * DAYS)
    assert (early.status, early.stream_version) == ("waiting", waiting.stream_version)
    ended = await harness.execute_later(job, 30 * DAYS)
    assert (ended.status, ended.output, ended.nodes["pause"].attempts) == ("succeeded", 1, 1)


async def test_documented_delay_reminds_after_thirty_days(harness: EngineHarness) -> None:
    """The example of the documentation, as it stands there."""
    job = await harness.start(await harness.publish_documented("remind"), {"note": "water the plants"})
    assert (await harness.execute(job)).status == "waiting"
    assert (await harness.execute_later(job, 30 * DAYS)).output == "Thirty days ago: water the plants"


async def test_delay_until_takes_an_expression(harness: EngineHarness) -> None:
    """The moment may come from the data; one that has passed is not waited for."""
    workflow_id = await harness.publish([HOOK, delay("pause", until="{% $trigger.body.at %}")], "hook>pause")
    past = await harness.execute(harness.delivery(workflow_id, {"at": "2020-01-01T00:00:00Z"}))
    job = harness.delivery(workflow_id, {"at": "2120-01-01T00:00:00+01:00"})
    future = await harness.execute(job)
    assert past.status == "succeeded"
    assert (future.status, future.wake_at) == ("waiting", "2119-12-31T23:00:00.000000Z")


async def test_other_branches_go_on_while_one_waits(harness: EngineHarness, sink: Sink) -> None:
    """What does not depend on the delay is done and durable before the run waits."""
    workflow_id = await harness.publish(
        [HOOK, delay("pause", seconds=DAYS), request("call", sink.url), transform("last", 1, join="all")],
        *("hook>pause", "hook>call", "pause>last", "call>last"),
    )
    job = harness.delivery(workflow_id)
    state = await harness.execute(job)
    assert (state.status, state.nodes["call"].status) == ("waiting", "succeeded")
    state = await harness.execute_later(job, DAYS)
    assert (state.status, state.output, len(sink.received)) == ("succeeded", 1, 1)


async def test_sweep_wakes_a_run_whose_delay_is_over(harness: EngineHarness) -> None:
    """The row's `wake_at` alone brings the run back: no job, no process and no timer knew of it."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=2.5)], "hook>pause")
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    await asyncio.sleep(2.6)
    summary = await harness.drain()
    assert summary.swept >= 1
    assert (await harness.state(job)).status == "succeeded"


async def test_thousand_waiting_runs_are_not_looked_at(harness: EngineHarness) -> None:
    """However many runs wait, a sweep is one query by the index of what is due, and nothing is read or written for
    them."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=DAYS)], "hook>pause")
    first = harness.delivery(workflow_id)
    await harness.execute(first)
    await harness.services.events.append(await _copies(harness, first.execution_id, 999))
    await harness.drain()  # what other tests have left
    rows = await harness.services.executions.list(harness.tenant_id, 1000, status="waiting")
    watched, store = harness.watched()
    summary = await watched.drain()
    await watched.services.close()
    assert len(rows) == 1000
    assert store.called == ["claim_due"]
    assert (summary.swept, summary.completed, summary.delayed) == (0, 0, 0)
    assert all(unix_seconds(row["wake_at"]) > time.time() + DAYS / 2 for row in rows)


async def test_waiting_run_holds_nothing(harness: EngineHarness) -> None:
    """No job, no lock, no task: nothing in Redis names it any more, and nothing in this process goes on for it."""
    signal = {"id": "pause", "type": "wait_for_signal", "parameters": {"name": "go"}}
    nodes = (delay("pause", seconds=DAYS), signal)
    jobs = [harness.delivery(await harness.publish([HOOK, node], "hook>pause")) for node in nodes]
    before = asyncio.all_tasks()
    await harness.services.producer.enqueue(jobs)
    await harness.drain()
    assert {(await harness.state(job)).status for job in jobs} == {"waiting"}
    assert asyncio.all_tasks() <= before
    assert not any((await harness.services.consumer.counts()).values())
    keys = [key async for key in harness.services.redis.scan_iter(count=1000)]
    assert [key for key in keys for job in jobs if job.execution_id in key] == []


EACH_MINUTE = {
    "claim_due": """select public.claim_due('{"limit": 100, "lease_seconds": 30}')""",
    "invariant_violations": "select public.invariant_violations('{}')",
    "overdue": "select wake_at from public.executions where wake_at < now() order by wake_at limit 1",
}


@pytest.mark.parametrize("name", EACH_MINUTE)
async def test_what_a_drain_asks_each_minute_reads_no_waiting_run(
    harness: EngineHarness, supabase_gateway: SupabaseGateway, name: str
) -> None:
    """Postgres itself counts: of a thousand runs that wait, the index of what is due hands over none."""
    workflow_id = await harness.publish([HOOK, delay("pause", seconds=DAYS)], "hook>pause")
    first = harness.delivery(workflow_id)
    await harness.execute(first)
    await harness.services.events.append(await _copies(harness, first.execution_id, 999))
    read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'executions'"
    with psycopg.connect(supabase_gateway.database_url) as connection:
        connection.execute("analyze public.executions")
        connection.commit()
        # Whatever others have left due is read, and nobody's lease is taken for it.
        (due,) = connection.execute("select count(*) from executions where wake_at < now()").fetchone() or (0,)
        connection.rollback()
        connection.execute(EACH_MINUTE[name])
        (rows,) = connection.execute(read).fetchone() or (None,)
        connection.rollback()
    # Each due run once when it is found, locked and updated.
    assert rows is not None
    assert rows <= 3 * due + 3


async def _copies(harness: EngineHarness, execution_id: str, count: int) -> list[Append]:
    """As many runs more with the same events."""
    events = await harness.services.events.read_all(harness.tenant_id, execution_id)
    state = fold(events)
    assert state is not None
    found = []
    for _ in range(count):
        state.id = new_id()
        copied = tuple(NewEvent(new_id(), one.event_type, one.timestamp, one.payload, one.metadata) for one in events)
        found.append(Append(harness.tenant_id, state.id, "execution", 0, copied, row(state)))
    return found
