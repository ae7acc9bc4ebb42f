"""What led to a run goes with it: from the delivery into its events, and out with the requests of its effects."""

from __future__ import annotations

from shared.tracing import CorrelationContext, set_context
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request
from tests.integration.engine.sink import Sink

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
TRACEPARENT = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"


async def test_delivery_gives_its_cause_to_the_run(harness: EngineHarness, sink: Sink) -> None:
    """Every event names the request, the first one the trace, and the effect's request carries it."""
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    job = harness.delivery(workflow_id, correlation_id="JKJaXmPLvHcESHA=", trace=TRACE)
    await harness.execute(job)
    events = await harness.events(job)
    assert {event.metadata["correlation_id"] for event in events} == {"JKJaXmPLvHcESHA="}
    assert [event.metadata.get("trace") for event in events] == [TRACE, *[None] * (len(events) - 1)]
    (received,) = sink.received
    assert (received.headers["x-amzn-trace-id"], received.headers["traceparent"]) == (TRACE, TRACEPARENT)


async def test_another_drain_goes_on_with_the_cause(harness: EngineHarness, sink: Sink) -> None:
    """A run that was started by hand and waited names the request that started it, whoever continues it."""
    workflow_id = await harness.publish(
        [HOOK, delay("wait", seconds=60), request("call", sink.url)], "hook>wait", "wait>call"
    )
    set_context(CorrelationContext("request", TRACE))
    job = await harness.start(workflow_id)
    set_context(None)
    await harness.execute(job)
    await harness.execute_later(job, 61)
    assert {event.metadata["correlation_id"] for event in await harness.events(job)} == {"request"}
    assert sink.received[0].headers["traceparent"] == TRACEPARENT


async def test_run_that_nobody_asked_for_names_itself(harness: EngineHarness) -> None:
    """A job of an older version states no cause."""
    job = harness.delivery(await harness.publish([HOOK]))
    await harness.execute(job)
    assert {event.metadata["correlation_id"] for event in await harness.events(job)} == {job.execution_id}


async def test_called_run_has_its_callers_cause(harness: EngineHarness, sink: Sink) -> None:
    """The request that led to the caller led to all that it calls."""
    start = {"id": "start", "type": "manual_trigger"}
    called = await harness.publish([start, request("call", sink.url)], "start>call")
    job = harness.delivery(
        await harness.publish([HOOK, call("ask", called)], "hook>ask"), correlation_id="request", trace=TRACE
    )
    await harness.execute(job)
    await harness.drain()
    (row,) = await harness.services.database.select(
        "executions", "id", lambda query: query.eq("parent_id", job.execution_id)
    )
    events = await harness.services.events.read_all(harness.tenant_id, row["id"])
    assert {event.metadata["correlation_id"] for event in events} == {"request"}
    assert sink.received[0].headers["traceparent"] == TRACEPARENT
