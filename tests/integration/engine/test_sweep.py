"""What one odd row does to the sweep: nothing."""

from __future__ import annotations

import time

import pytest

from local.stack.process import free_port
from shared.domain.timestamps import timestamp, unix_seconds
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.repositories.executions import ExecutionRepository
from tests.integration.engine.harness import EngineHarness, delay, transform
from tests.integration.engine.test_leaving import drain_of
from tests.integration.queue.jobs import services_of


class Odd(ExecutionRepository):
    """Finds, beside what is due, a run that no queue takes."""

    tenant_id = new_id()

    async def claim_due(self, limit: int, lease_seconds: float, now: str) -> list[JsonObject]:
        odd = {"tenant_id": self.tenant_id, "execution_id": "7"}
        return [odd, *await super().claim_due(limit, lease_seconds, now)]


async def test_run_that_cannot_be_enqueued_stops_no_other(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its tenant; the due runs of others are brought back."""
    nodes = [{"id": "start", "type": "manual_trigger"}, transform("one", 1)]
    workflow_id = await harness.publish(nodes, "start>one")
    jobs = [await harness.start(workflow_id) for _ in range(3)]
    await harness.services.redis.flushdb()
    harness.engine = harness.new_engine(clock=lambda: time.time() + 60)  # by whose clock they are due
    ends_at = time.monotonic() + 30
    await drain_of(harness, lambda: ends_at - time.monotonic(), executions=Odd(harness.services.database)).run()
    assert {(await harness.state(job)).status for job in jobs} == {"succeeded"}
    told = [record for record in caplog.records if record.message == "sweep_item_failed"]
    assert {(record.__dict__["tenant_id"], record.__dict__["execution_id"]) for record in told} == {
        (Odd.tenant_id, "7")
    }


async def test_run_that_is_swept_in_vain_is_a_violation_by_its_age(harness: EngineHarness) -> None:
    """Its lease moves each time, so that it is never overdue; that nothing happens in it shows all the same."""
    nodes = [{"id": "start", "type": "manual_trigger"}, transform("one", 1)]
    job = await harness.start(await harness.publish(nodes, "start>one"))
    executions = harness.services.executions

    async def named(overdue_seconds: float) -> list[str]:
        found = await executions.invariant_violations(overdue_seconds)
        return [one["invariant"] for one in found if one.get("execution_id") == job.execution_id]

    for _ in range(3):
        await executions.claim_due(1000, 60.0, timestamp(time.time() + 60))
    assert (await named(0.0), await named(60.0)) == (["begun_run_goes_on"], [])
    await harness.execute(job)
    assert await named(0.0) == []


async def test_as_many_runs_as_there_are_places_go_on_without_redis(harness: EngineHarness) -> None:
    """However many are due: the others wait for a place, and all of them end."""
    places, nodes = harness.services.settings.drain_concurrency, [{"id": "start", "type": "manual_trigger"}]
    workflow_id = await harness.publish([*nodes, delay("pause", seconds=0.3)], "start>pause")
    jobs = [await harness.start(workflow_id) for _ in range(3 * places)]
    await harness.services.redis.flushdb()
    harness.engine = harness.new_engine(clock=lambda: time.time() + 60)  # by whose clock they are due
    nobody = services_of(harness.services.settings._replace(redis_port=free_port()))
    ends_at = time.monotonic() + 60
    drain = drain_of(harness, lambda: ends_at - time.monotonic(), queue=nobody)
    await drain.run()
    await nobody.close()
    states = [await harness.state(job) for job in jobs]
    assert {state.status for state in states} == {"succeeded"}
    begun = [unix_seconds(state.started_at or "") for state in states]
    ended = [unix_seconds(state.finished_at or "") for state in states]
    at_once = [sum(start <= moment < end for start, end in zip(begun, ended, strict=True)) for moment in begun]
    assert max(at_once) <= places
