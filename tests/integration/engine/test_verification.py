"""Runs that were changed after they were recorded, and where verification finds it."""

from __future__ import annotations

import json
from dataclasses import replace

import psycopg
import pytest

from local.stack.gateway_process import SupabaseGateway
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.verify.verification import Difference, first_difference
from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, delay, request, transform
from tests.integration.engine.sink import Sink

RETRY = [{"errors": ["http_5xx"], "max_attempts": 2, "initial_interval_seconds": 0.01}]
NODES = [
    {"id": "check", "type": "if", "parameters": {"condition": "{% $trigger.body.n > 1 %}"}},
    transform("sum", "{% $trigger.body.n + $random() %}"),
    transform("not", 1),
    delay("pause", seconds=3600),
]
EDGES = ("hook>check", "check.true>sum", "check.false>not", "sum>send", "send>pause", "pause>each")


async def _recorded(harness: EngineHarness, sink: Sink) -> tuple[ExecutionJob, list[RecordedEvent], CompiledWorkflow]:
    """A run with something of everything in it."""
    sink.answer = lambda _request: (500 if len(sink.received) == 1 else 200, {}, b"{}")
    send = request("send", sink.url, retry=RETRY, parameters={"body": "{% $nodes.sum %}"})
    body = {"nodes": [transform("double", "{% $item * 2 %}")]}
    each = {"id": "each", "type": "map", "parameters": {"items": [1, 2], "body": body}}
    workflow_id = await harness.publish([HOOK, *NODES, send, each], *EDGES)
    job = harness.delivery(workflow_id, {"n": 2})
    await harness.execute(job)
    assert (await harness.execute_later(job, 3600)).status == "succeeded"
    row = await harness.services.workflows.version(harness.tenant_id, workflow_id, 1)
    assert row is not None
    return job, await harness.events(job), CompiledWorkflow.from_row(row)


def _position(events: list[RecordedEvent], event_type: str, node_id: str | None) -> int:
    return next(
        index
        for index, one in enumerate(events)
        if one.event_type == event_type and one.payload.get("node_id") == node_id
    )


CHANGES: list[tuple[str, str | None, JsonObject]] = [
    ("ExecutionStarted", None, {"trigger_node_id": "sum"}),
    ("NodeSucceeded", "check", {"handles": ["false"]}),
    ("NodeSucceeded", "check", {"evaluated_at": 1, "output": "ours", "output_of": None}),
    ("NodeSucceeded", "sum", {"output": 3}),
    ("NodeSucceeded", "sum", {"undefined": ["/value"]}),
    ("NodeSkipped", "not", {"node_id": "send"}),
    ("NodeSkipped", "not", {"node_id": "each[0]not"}),
    ("NodeStarted", "send", {"idempotency_key": "another"}),
    ("NodeStarted", "send", {"parameters": {"method": "POST", "url": "https://example.com"}}),
    ("NodeRetryScheduled", "send", {"delay_seconds": 90_000.0}),
    ("NodeRetryScheduled", "send", {"error": {"code": "http_4xx", "message": ""}}),
    ("NodeSucceeded", "send", {"attempt": 1}),
    ("NodeSucceeded", "send", {"handles": ["other"]}),
    ("NodeWaiting", "pause", {"wake_at": "2026-01-01T00:00:00.000000Z"}),
    ("MapStarted", "each", {"parameters": {"items": [1]}}),
    ("NodeSucceeded", "each[1].double", {"output": 5}),
    ("NodeSucceeded", "each[1].double", {"node_id": "each[1]double"}),
    ("NodeSucceeded", "each[1].double", {"node_id": "each[x].double"}),
    ("ItemSucceeded", "each", {"output_of": []}),
    ("ItemSucceeded", "each", {"index": 7}),
    ("NodeSucceeded", "each", {"output": [1]}),
    ("ExecutionSucceeded", None, {"output": "another"}),
]


async def test_changed_fact_is_found_where_it_stands(harness: EngineHarness, sink: Sink) -> None:
    """Whatever is changed in a fact that follows from others is the first difference."""
    _, events, program = await _recorded(harness, sink)
    assert await first_difference(events, program, harness.guard) is None
    for event_type, node_id, changes in CHANGES:
        index = _position(events, event_type, node_id)
        changed = list(events)
        changed[index] = replace(events[index], payload={**events[index].payload, **changes})
        found = await first_difference(changed, program, harness.guard)
        assert isinstance(found, Difference), (event_type, node_id, changes)
        assert found.event is changed[index], (event_type, node_id, changes, found)


@pytest.mark.parametrize("event_type", ["NodeSkipped", "NodeStarted", "MapStarted", "ItemSucceeded", "NodeWaiting"])
async def test_missing_fact_is_found(harness: EngineHarness, sink: Sink, event_type: str) -> None:
    """Without one of its facts, what is recorded afterwards cannot be derived."""
    _, events, program = await _recorded(harness, sink)
    index = next(position for position, one in enumerate(events) if one.event_type == event_type)
    assert await first_difference(events[:index] + events[index + 1 :], program, harness.guard) is not None


async def test_repeated_fact_is_found(harness: EngineHarness, sink: Sink) -> None:
    """No fact may stand twice, with few exceptions: a signal may, and a start without an end has none here."""
    _, events, program = await _recorded(harness, sink)
    for index, event in enumerate(events):
        found = await first_difference([*events[: index + 1], *events[index:]], program, harness.guard)
        assert found is not None, event


async def test_changed_answer_breaks_the_chain(
    harness: EngineHarness, sink: Sink, supabase_gateway: SupabaseGateway
) -> None:
    """What an effect answered cannot be derived; that it was changed in the store is found by its hash."""
    job, events, _ = await _recorded(harness, sink)
    index = _position(events, "NodeSucceeded", "send")
    payload = json.dumps({**events[index].payload, "output": "ours"})
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        connection.execute("update event_store set payload = %s where id = %s", [payload, events[index].id])
    verified = await harness.verify(job)
    assert (verified["valid"], verified["first_difference"]["stream_version"]) == (False, index + 1)
    assert "hash" in verified["first_difference"]["reason"]


@pytest.mark.parametrize("left", ["all but the last", "none"])
async def test_events_deleted_from_the_end_are_missed(
    harness: EngineHarness, sink: Sink, supabase_gateway: SupabaseGateway, left: str
) -> None:
    """What is left derives and its chain is whole, but the run's row counts more."""
    job, events, _ = await _recorded(harness, sink)
    kept = 0 if left == "none" else len(events) - 1
    missing = kept + 1
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        connection.execute(
            "delete from event_store where stream_id = %s and stream_version > %s", [job.execution_id, kept]
        )
    verified = await harness.verify(job)
    assert (verified["valid"], verified["events_checked"]) == (False, len(events[:kept]))
    assert (verified["first_difference"]["stream_version"], verified["first_difference"]["recorded"]) == (missing, None)
    assert "missing" in verified["first_difference"]["reason"]


@pytest.mark.parametrize("of_first", [True, False])
async def test_deleted_payload_is_found(
    harness: EngineHarness, supabase_gateway: SupabaseGateway, of_first: bool
) -> None:
    """A large payload is kept by its hash in a table of its own: its event is left without content."""
    workflow_id = await harness.publish([HOOK, transform("large", "{% $trigger.body.x & '!' %}")], "hook>large")
    job = harness.delivery(workflow_id, {"x": "0123456789" * 2_000})
    await harness.execute(job)
    large = [event for event in await harness.events(job) if event.payload_sha256 is not None]
    event = large[0 if of_first else -1]
    assert len(large) > 1
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        connection.execute("delete from payloads where sha256 = %s", [event.payload_sha256])
    verified = await harness.verify(job)
    assert (verified["valid"], verified["first_difference"]["stream_version"]) == (False, event.stream_version)
    assert "content" in verified["first_difference"]["reason"]
