"""Schedules: what publishing makes of them, and that each tick starts one run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.stack.gateway_process import SupabaseGateway
from local.stack.tokens import LocalKeys
from shared.commands.workflows.archive_workflow import archive_workflow
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.commands.workflows.unpublish_workflow import unpublish_workflow
from shared.commands.workflows.update_workflow import UpdateWorkflow, update_workflow
from shared.domain.timestamps import timestamp, unix_seconds
from shared.domain.workflow.schedule import next_tick
from shared.engine.run.executor import RunExecutor
from shared.json_types import JsonObject
from tests.integration.engine.harness import EngineHarness, transform

HOUR = 3600.0


@pytest.fixture
def supabase_gateway(new_database: Callable[[], str], tmp_path: Path) -> Iterator[SupabaseGateway]:
    """A database of each test's own: a drain whose clock is ahead finds what other tests' runs wait for, too."""
    gateway = SupabaseGateway(new_database(), LocalKeys.of(tmp_path), tmp_path / "gateway.log").start()
    yield gateway
    gateway.stop()


def schedule(cron: str = "0 * * * *", **parameters: Any) -> JsonObject:
    """A schedule trigger."""
    return {"id": "clock", "type": "schedule_trigger", "parameters": {"cron": cron, **parameters}}


async def published(harness: EngineHarness, cron: str = "0 * * * *", **parameters: Any) -> str:
    """The id of a published workflow that runs by a schedule."""
    nodes = [schedule(cron, **parameters), transform("at", "{% $trigger.body.scheduled_at %}")]
    return await harness.publish(nodes, "clock>at")


async def due(harness: EngineHarness, workflow_id: str) -> str:
    """The tick that the workflow's only schedule waits for."""
    (row,) = await harness.services.schedules.list(harness.tenant_id, workflow_id)
    assert row["next_at"] is not None
    return str(row["next_at"])


def at(harness: EngineHarness, moment: float, name: str = "then") -> RunExecutor:
    """An engine to whom it is this moment."""
    return harness.new_engine(name, lambda: moment)


async def runs(harness: EngineHarness, workflow_id: str) -> list[JsonObject]:
    """The workflow's runs, newest first."""
    return await harness.services.executions.list(harness.tenant_id, 50, workflow_id=workflow_id)


async def test_publishing_schedules_the_next_tick(harness: EngineHarness) -> None:
    """In the time zone that was given."""
    workflow_id = await published(harness, "30 2 * * *", timezone="Europe/Berlin")
    row = await harness.services.workflows.get(harness.tenant_id, workflow_id)
    assert row is not None
    assert await due(harness, workflow_id) == next_tick("30 2 * * *", "Europe/Berlin", unix_seconds(row["updated_at"]))


async def test_tick_starts_one_run_however_many_drains_see_it(harness: EngineHarness) -> None:
    """Five drains sweep at once; the run knows its tick and is pinned to the published version."""
    workflow_id = await published(harness)
    tick = await due(harness, workflow_id)
    engines = [at(harness, unix_seconds(tick) + 1, f"drain-{number}") for number in range(5)]
    await asyncio.gather(*(harness.drain(engine=engine) for engine in engines))
    (run,) = await runs(harness, workflow_id)
    assert (run["status"], run["trigger"], run["workflow_version"]) == (
        "succeeded",
        {"type": "schedule", "node_id": "clock"},
        1,
    )
    state = await harness.state_of(run["id"])
    assert (state.output, state.trigger["body"]["missed"]) == (tick, 0)
    assert unix_seconds(await due(harness, workflow_id)) == unix_seconds(tick) + HOUR


async def test_tick_that_a_drain_died_over_is_not_fired_again(harness: EngineHarness) -> None:
    """The run was stored, the schedule was not moved on: the next drain moves it on, and there is still one run."""
    workflow_id = await published(harness)
    tick = await due(harness, workflow_id)
    row = {"tenant_id": harness.tenant_id, "workflow_id": workflow_id, "node_id": "clock", "version": 1}
    row |= {"cron": "0 * * * *", "timezone": "UTC", "due_at": tick}
    now = unix_seconds(tick) + 1
    (first,) = await harness.schedules(lambda: now).fire([row])
    await harness.services.schedules.advance([{**row, "due_at": await due(harness, workflow_id), "next_at": tick}])
    (second,) = await harness.schedules(lambda: now).fire([row])
    assert first == second
    await harness.drain(engine=at(harness, now))
    assert [run["id"] for run in await runs(harness, workflow_id)] == [first.execution_id]
    assert unix_seconds(await due(harness, workflow_id)) == unix_seconds(tick) + HOUR


async def test_ticks_that_nobody_fired_are_made_up_for_by_one_run(harness: EngineHarness) -> None:
    """After five hours without a drain the latest tick runs, and says how many were missed."""
    workflow_id = await published(harness)
    tick = unix_seconds(await due(harness, workflow_id))
    await harness.drain(engine=at(harness, tick + 5.5 * HOUR))
    (run,) = await runs(harness, workflow_id)
    state = await harness.state_of(run["id"])
    assert unix_seconds(state.output) == tick + 5 * HOUR
    assert state.trigger["body"]["missed"] == 5


async def test_unpublished_workflow_is_due_no_more(harness: EngineHarness) -> None:
    """Nor is an archived one; publishing again starts with the next tick."""
    workflow_id = await published(harness)
    tick = unix_seconds(await due(harness, workflow_id))
    await unpublish_workflow(harness.services, harness.actor, workflow_id)
    await harness.drain(engine=at(harness, tick + 1))
    assert await runs(harness, workflow_id) == []
    await publish_workflow(harness.services, harness.actor, workflow_id)
    assert unix_seconds(await due(harness, workflow_id)) >= tick
    await archive_workflow(harness.services, harness.actor, workflow_id)
    (row,) = await harness.services.schedules.list(harness.tenant_id, workflow_id)
    assert row["next_at"] is None


async def test_new_version_keeps_the_tick_that_is_due(harness: EngineHarness) -> None:
    """Publishing in the very moment of a tick does not swallow it, unless the schedule itself has changed."""
    workflow_id = await published(harness)
    tick = await due(harness, workflow_id)
    earlier = timestamp(unix_seconds(tick) - 10 * HOUR)
    row = {"workflow_id": workflow_id, "node_id": "clock", "due_at": tick, "next_at": earlier}
    await harness.services.schedules.advance([row])
    same = [schedule(), transform("at", 2)]
    command = UpdateWorkflow(name="test", nodes=same, edges=[{"source": "clock", "target": "at"}])
    await update_workflow(harness.services, harness.actor, workflow_id, command)
    await publish_workflow(harness.services, harness.actor, workflow_id)
    assert await due(harness, workflow_id) == earlier


async def test_schedule_that_cannot_be_read_or_begun_stops_no_other(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """One with a cron that nobody understands, one whose run the store refuses, one without a tick to wait for: each is
    logged with its tenant, and the sound one among them fires and moves on."""
    workflow_id = await published(harness)
    tick = await due(harness, workflow_id)
    now = unix_seconds(tick) + 1
    row = {"tenant_id": harness.tenant_id, "workflow_id": workflow_id, "node_id": "clock", "version": 1}
    row |= {"cron": "0 * * * *", "timezone": "UTC", "due_at": tick}
    others = [
        {**row, "cron": "at noon"},
        {**row, "cron": None},
        {**row, "timezone": "Europe/Atlantis"},
        {**row, "tenant_id": "nobody", "node_id": "other"},
        {**row, "workflow_id": "none"},
        {name: value for name, value in row.items() if name != "version"} | {"node_id": "third"},
    ]
    jobs = await harness.schedules(lambda: now).fire([*others[:3], row, *others[3:]])
    assert [job.tenant_id for job in jobs] == [harness.tenant_id]
    assert unix_seconds(await due(harness, workflow_id)) == unix_seconds(tick) + HOUR
    told = [record for record in caplog.records if record.message.startswith("schedule_")]
    assert [record.__dict__["tenant_id"] for record in told] == [one["tenant_id"] for one in others]


async def test_schedule_that_cannot_be_advanced_holds_up_no_other(harness: EngineHarness) -> None:
    """The store refuses the ticks of a batch together: each schedule is tried apart from the one that is at fault."""
    sound = [await published(harness) for _ in range(3)]
    ticks = [await due(harness, workflow_id) for workflow_id in sound]
    rows = [
        {
            "tenant_id": harness.tenant_id,
            "workflow_id": workflow_id,
            "node_id": "clock",
            "due_at": tick,
            "next_at": tick,
        }
        for workflow_id, tick in zip(sound, ticks, strict=True)
    ]
    later = timestamp(unix_seconds(ticks[0]) + HOUR)
    moved = [{**row, "next_at": later} for row in rows]
    await harness.schedules(lambda: 0.0)._advance([*moved[:2], {**moved[2], "workflow_id": "none"}, moved[2]])
    assert [unix_seconds(await due(harness, workflow_id)) for workflow_id in sound] == [unix_seconds(later)] * 3
