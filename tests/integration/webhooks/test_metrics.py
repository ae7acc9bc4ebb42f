"""What intake and the drain tell of themselves: metrics, and the id of the request."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from functions.drain import app as drain
from shared.commands.executions.cancel_execution import CancelExecution, cancel_execution
from shared.commands.executions.execute_workflow import ExecuteWorkflow, execute_workflow
from shared.commands.new_events import new_events, now
from shared.commands.workflows.create_workflow import CreateWorkflow, create_workflow
from shared.commands.workflows.publish_workflow import publish_workflow
from shared.domain.execution.fold import apply
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.events.execution import ExecutionFailed, ExecutionQueued
from shared.events.facts import ExecutionFact
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.observability import flush
from shared.platform.runtime import run
from shared.queries.overdue import overdue
from shared.repositories.append import Append
from tests.integration.webhooks.conftest import Servers
from tests.integration.webhooks.sender import Sender


class Context:
    """A drain's, with time for a short one."""

    def __init__(self) -> None:
        self._ends_at = time.monotonic() + 20

    def get_remaining_time_in_millis(self) -> int:
        """What is left."""
        return int((self._ends_at - time.monotonic()) * 1000)


def scheduled_drain(capsys: pytest.CaptureFixture[str]) -> JsonObject:
    """The metrics of one."""
    flush()
    capsys.readouterr()
    drain.handler({"source": "schedule"}, Context())
    found: JsonObject = {}
    for line in capsys.readouterr().out.splitlines():
        found |= json.loads(line)
    return found


def happen(sender: Sender, state: ExecutionState, fact: ExecutionFact, wake_at: str | None = None) -> None:
    """One more fact of a run that no queue knows of, and when it is due."""
    version = state.stream_version
    apply(state, fact, now())
    append = Append(
        tenant_id=state.tenant_id,
        stream_id=state.id,
        stream_type="execution",
        expected_version=version,
        events=new_events(sender.actor, now(), fact),
        row=row(state, wake_at),
    )
    run(sender.services.events.append_one(append))


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics are written, and drains do not linger."""
    monkeypatch.setenv("METRICS_NAMESPACE", "engine")
    monkeypatch.setenv("DRAIN_LINGER_SECONDS", "0.5")


@pytest.mark.usefixtures("metrics")
def test_drain_tells_what_came_and_what_became_of_it(sender: Sender, capsys: pytest.CaptureFixture[str]) -> None:
    """Deliveries by verdict, runs by outcome, the queue's age, how busy it was, how large its appends were."""
    scheduled_drain(capsys)  # runs that other tests of this database have left due
    body = b'{"n": 1}'
    assert sender.send(body, x_github_delivery="one").status == 202
    assert sender.send(body, x_github_delivery="one").status == 200
    assert sender.send(body, signed={**sender.signed(body), "x-hub-signature-256": "sha256=00"}).status == 401
    found = scheduled_drain(capsys)
    counts = {name: value for name, value in found.items() if name.startswith(("Deliveries", "Runs", "Jobs")) and value}
    assert counts == {
        "DeliveriesAccepted": 1,
        "DeliveriesDuplicate": 1,
        "DeliveriesRejectedSignature": 1,
        "RunsSucceeded": 1,
        "JobsCompleted": 1,
    }
    assert found["AppendBatchSize"] == 4  # queued, started, the transform, succeeded
    assert 0 < found["QueueAgeSeconds"] < 20
    assert 0.5 < found["DrainSeconds"] < 20
    assert 0 <= found["DrainPlacesPercent"] < 100
    assert found["DrainCpuPercent"] > 0
    assert (found["InvariantViolations"], found["OldestDueSeconds"]) == (0, 0)


@pytest.mark.usefixtures("metrics")
def test_what_becomes_of_runs_is_told(sender: Sender, servers: Servers, capsys: pytest.CaptureFixture[str]) -> None:
    """One that fails, one that is left waiting and is cancelled then, one that the sweep finds."""
    scheduled_drain(capsys)
    services, actor = sender.services, sender.actor
    start(sender, {"id": "do", "type": "fail", "parameters": {"code": "mine", "message": "No."}})
    waiting = start(sender, {"id": "do", "type": "delay", "parameters": {"seconds": 3600}})
    first = scheduled_drain(capsys)
    run(cancel_execution(services, actor, waiting, CancelExecution()))
    cancelled = json.loads(capsys.readouterr().out.splitlines()[-1])
    start(sender, {"id": "do", "type": "transform", "parameters": {"value": 1}})
    run(services.redis.flushall())
    servers.set_due("now()", "now() + interval '1 minute'")
    swept = scheduled_drain(capsys)
    assert (first["RunsFailed"], first["RunsWaiting"], first["JobsCompleted"]) == (1, 1, 2)
    assert (cancelled["RunsCancelled"], cancelled["service"]) == (1, "executions")
    assert (swept["RunsSwept"], swept["RunsSucceeded"]) == (1, 1)


def start(sender: Sender, node: JsonObject) -> str:
    """The id of a run of a new workflow, which does this one thing."""
    drawn = {"nodes": [{"id": "start", "type": "manual_trigger"}, node], "edges": [{"source": "start", "target": "do"}]}

    async def started() -> str:
        workflow = await create_workflow(sender.services, sender.actor, CreateWorkflow(name="w", **drawn))
        await publish_workflow(sender.services, sender.actor, workflow.id)
        return await execute_workflow(sender.services, sender.actor, workflow.id, ExecuteWorkflow())

    return run(started())


def test_what_is_overdue_is_told(sender: Sender) -> None:
    """The longest due run's age in seconds, and the rule that this breaks after five minutes."""
    found, state = sender.services, ExecutionState(new_id(), sender.actor.tenant_id)
    queued = ExecutionQueued(sender.workflow_id, None, {"type": "manual", "body": None})
    happen(sender, state, queued, wake_at="2020-01-01T00:00:00Z")
    values = run(overdue(found.database, found.executions))
    happen(sender, state, ExecutionFailed({"code": "test", "message": "It is over."}))
    expected = time.time() - datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    assert (values["InvariantViolations"], values["OldestDueSeconds"]) == (1, pytest.approx(expected, abs=60))


def test_queued_delivery_names_its_request(sender: Sender) -> None:
    """The gateway's id of the request and its trace stand in the job."""
    event = sender.event(b"{}")
    event["requestContext"]["requestId"] = "JKJaXmPLvHcESHA="
    event["headers"]["x-amzn-trace-id"] = "Root=1-5759e988-bd862e3fe1be46a994272793"
    execution_id = sender.invoke(event).json["execution_id"]
    job = run(sender.services.producer.peek(execution_id))
    assert job is not None
    assert job.cause.metadata() == {
        "correlation_id": "JKJaXmPLvHcESHA=",
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793",
    }
