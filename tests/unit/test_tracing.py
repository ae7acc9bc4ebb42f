"""What led to something, from a request to the requests that effects send."""

from __future__ import annotations

import asyncio

import pytest

from shared.tracing import CorrelationContext, current_context, set_context

ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793"
SPAN = "0192aaaa-0000-7000-8000-000000000001"


def request(**headers: str) -> dict[str, object]:
    """An HTTP API's event."""
    return {"requestContext": {"requestId": "JKJaXmPLvHcESHA="}, "headers": headers}


def test_function_that_is_traced_is_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda's own variable comes before the gateway's header; what else stands in it is left out."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:abc:0")
    cause = CorrelationContext.of_request(request(**{"x-amzn-trace-id": "Root=1-00000000-000000000000000000000000"}))
    assert cause == CorrelationContext("JKJaXmPLvHcESHA=", f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1")


@pytest.mark.parametrize("header", ["", "nonsense", "Root=1-x", ROOT.upper()])
def test_header_that_is_no_trace_is_none(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may write what he likes."""
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    assert CorrelationContext.of_request(request(**{"x-amzn-trace-id": header})) == CorrelationContext(
        "JKJaXmPLvHcESHA="
    )


def test_event_of_no_request_has_no_cause() -> None:
    """The schedule's, say."""
    assert CorrelationContext.of_request({"source": "schedule"}) is None


def test_metadata_gives_the_cause_back() -> None:
    """What is written into events and deliveries is what is read from them; older ones state nothing."""
    cause = CorrelationContext("request", ROOT)
    assert CorrelationContext.of(cause.metadata(), "run") == cause
    assert CorrelationContext.of({}, "run") == CorrelationContext("run")


def test_requests_carry_the_trace_in_both_forms() -> None:
    """X-Ray's header and W3C's name the same trace and the same parent."""
    headers = CorrelationContext("request", f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1").headers(SPAN)
    assert headers == {
        "x-amzn-trace-id": f"{ROOT};Parent=53995c3f42cd8ad8;Sampled=1",
        "traceparent": "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
    }


def test_trace_without_a_segment_has_the_effect_as_parent() -> None:
    """An HTTP API gives a root alone; W3C's header needs a parent, the same at every attempt."""
    headers = CorrelationContext("request", ROOT).headers(SPAN)
    assert headers["traceparent"] == "00-5759e988bd862e3fe1be46a994272793-0192aaaa00007000-00"


def test_without_a_trace_nothing_is_sent() -> None:
    """Nobody traces."""
    assert CorrelationContext("request").headers(SPAN) == {}


async def test_tasks_have_their_own_causes() -> None:
    """What one run notes is not seen by another that is under way."""

    async def one(name: str) -> CorrelationContext | None:
        set_context(CorrelationContext(name))
        await asyncio.sleep(0)
        return current_context()

    assert await asyncio.gather(one("a"), one("b")) == [CorrelationContext("a"), CorrelationContext("b")]
