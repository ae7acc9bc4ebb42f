"""Runs on a real store: what is recorded, in how many appends, and what effects see."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable

import pytest

from shared.commands.executions.cancel_execution import CancelExecution, cancel_execution
from shared.domain.retry_policy import ERROR_CLASSES
from shared.domain.timestamps import unix_seconds
from shared.json_types import JsonObject
from tests.integration.engine.harness import HOOK, EngineHarness, request, transform
from tests.integration.engine.sink import Received, Sink, as_json

IF_MAIN = {"id": "is_main", "type": "if", "parameters": {"condition": "{% $trigger.body.ref = 'main' %}"}}


async def test_pure_run_is_one_append_with_its_ledger_row(harness: EngineHarness) -> None:
    """A delivery through pure nodes is recorded from queued to succeeded in one append, its delivery log row with
    it."""
    workflow_id = await harness.publish(
        [HOOK, IF_MAIN, transform("greet", {"text": "hello {% $trigger.body.name %}"})],
        "hook>is_main",
        "is_main.true>greet",
    )
    job = harness.delivery(workflow_id, {"ref": "main", "name": "Ada"})
    state = await harness.execute(job)
    moments = await harness.services.database.select(
        "event_store", "created_at", lambda query: query.eq("stream_id", job.execution_id)
    )
    assert state.status == "succeeded"
    # The store's clock stands still within a transaction.
    assert (len(moments), len({row["created_at"] for row in moments})) == (5, 1)
    assert state.output == {"text": "hello Ada"}
    ledger = await harness.services.database.select(
        "webhook_deliveries", "verdict,execution_id", lambda query: query.eq("id", job.delivery["delivery_id"])
    )
    assert ledger == [{"verdict": "accepted", "execution_id": job.execution_id}]


async def test_run_that_is_over_is_let_go_of_at_once(harness: EngineHarness, sink: Sink) -> None:
    """What is in a cycle stays until Python looks for garbage, and then much of it holds up all that is under way."""
    parameters = {"items": [1, 2], "body": {"nodes": [transform("one", "{% $item %}")], "edges": []}}
    workflow_id = await harness.publish(
        [
            HOOK,
            IF_MAIN,
            {"id": "each", "type": "map", "parameters": parameters},
            request("call", sink.url),
        ],
        "hook>is_main",
        "is_main.true>each",
        "each>call",
    )
    await harness.execute(
        harness.delivery(workflow_id, {"ref": "main"})
    )  # what comes with the first run alone is there
    gc.collect()
    gc.disable()
    try:
        state = await harness.execute(harness.delivery(workflow_id, {"ref": "main"}))
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        in_cycles = Counter(type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith("shared."))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert state.status == "succeeded"
    assert not in_cycles


async def test_effect_carries_a_key_and_its_start_is_durable(harness: EngineHarness, sink: Sink) -> None:
    """When the request arrives, its start is in the store; the answer becomes the node's output."""
    workflow_id = await harness.publish(
        [HOOK, request("call", sink.url, parameters={"body": {"sha": "{% $trigger.body.sha %}"}})], "hook>call"
    )
    job = harness.delivery(workflow_id, {"sha": "abc"})
    state = await harness.execute(job)
    events = [event.event_type for event in await harness.events(job)]
    assert events == ["ExecutionQueued", "ExecutionStarted", "NodeStarted", "NodeSucceeded", "ExecutionSucceeded"]
    assert state.output["body"] == {"ok": True}
    assert [(one.method, one.body) for one in sink.received] == [("POST", b'{"sha":"abc"}')]
    assert sink.received[0].key


async def test_effect_starts_after_everything_before_it_is_durable(harness: EngineHarness, sink: Sink) -> None:
    """The second request leaves after the first one's answer, what was made of it, and its own start are stored."""
    nodes = [HOOK, request("one", sink.url), transform("between", 1), request("two", sink.url + "/two")]
    workflow_id = await harness.publish(nodes, "hook>one", "one>between", "between>two")
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    rows = await harness.services.database.select(
        "event_store",
        "stream_version,event_type,created_at",
        lambda query: query.eq("stream_id", job.execution_id).order("stream_version"),
    )
    stored = [(row["event_type"], unix_seconds(row["created_at"])) for row in rows]
    until_second_start = max(index for index, (name, _) in enumerate(stored) if name == "NodeStarted")
    assert max(moment for _, moment in stored[: until_second_start + 1]) < sink.received[1].arrived_at


async def test_same_delivery_twice_runs_once(harness: EngineHarness, sink: Sink) -> None:
    """A job that comes again finds its run ended and changes nothing."""
    workflow_id = await harness.publish([HOOK, request("call", sink.url)], "hook>call")
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    before = len(await harness.events(job))
    await harness.execute(job)
    assert len(await harness.events(job)) == before
    assert len(sink.received) == 1


async def test_delivery_that_was_queued_for_hours_runs(harness: EngineHarness) -> None:
    """Its age was judged when it arrived: a drain that comes to it late does not judge again."""
    job = harness.delivery(await harness.publish([HOOK, transform("say", "{% $trigger.delivery_id %}")], "hook>say"))
    await harness.new_engine("late", lambda: time.time() + 6 * 3600).execute(job)
    assert job.delivery is not None
    state = await harness.state(job)
    assert (state.status, state.output) == ("succeeded", job.delivery["delivery_id"])


async def test_short_retry_happens_in_the_drain_with_the_same_key(harness: EngineHarness, sink: Sink) -> None:
    """A failed attempt is made again within the drain, and the server sees one key."""
    sink.answer = lambda _request: (503, {}, b"") if len(sink.received) < 3 else (200, {}, b"{}")
    retry = [{"errors": ["http_5xx"], "max_attempts": 3, "initial_interval_seconds": 0.02}]
    workflow_id = await harness.publish([HOOK, request("call", sink.url, retry=retry)], "hook>call")
    state = await harness.execute(harness.delivery(workflow_id))
    assert (state.status, state.nodes["call"].attempts) == ("succeeded", 3)
    assert len({one.key for one in sink.received}) == 1


async def test_long_retry_is_a_durable_timer(harness: EngineHarness, sink: Sink) -> None:
    """A server that asks for an hour leaves a waiting run whose row says when to look again."""
    sink.answer = lambda _request: (429, {"retry-after": "3600"}, b"")
    retry = [{"errors": ["http_429"], "max_attempts": 2}]
    workflow_id = await harness.publish([HOOK, request("call", sink.url, retry=retry)], "hook>call")
    job = harness.delivery(workflow_id)
    seconds = await harness.engine.execute(job)
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert seconds is not None
    assert 3500 < seconds <= 3600
    assert row is not None
    assert (row["status"], row["wake_at"]) == ("waiting", (await harness.state(job)).nodes["call"].retry_at)


def breaks_off(_request: Received) -> tuple[int, dict[str, str], bytes]:
    """No answer at all."""
    raise ConnectionError


FIRST_ANSWERS: dict[str, Callable[[Received], tuple[int, dict[str, str], bytes]]] = {
    "network": breaks_off,
    "http_2xx": lambda _request: (204, {}, b""),  # a code of the node's own: this status is no success here
    "http_4xx": lambda _request: (404, {}, b""),
    "http_429": lambda _request: (429, {}, b""),
    "http_5xx": lambda _request: (500, {}, b""),
    "invalid_output": lambda _request: (200, {}, b"no JSON"),
    "limit": lambda _request: (200, {}, b'"' + b"x" * 2000 + b'"'),
}


@pytest.mark.parametrize("code", FIRST_ANSWERS)
@pytest.mark.parametrize("named", ["by its name", "as all", "not"])
async def test_each_class_of_error_is_retried_by_who_names_it(
    harness: EngineHarness, sink: Sink, code: str, named: str
) -> None:
    """By a retrier with the class or with `all`; one that names the other classes leaves it alone."""
    sink.answer = lambda request: FIRST_ANSWERS[code](request) if len(sink.received) == 1 else (200, {}, b"{}")
    others = [*(one for one in ERROR_CLASSES if one != code), "another"]
    errors = {"by its name": [code], "as all": ["all"], "not": others}[named]
    retry = [{"errors": errors, "max_attempts": 2, "initial_interval_seconds": 0.01}]
    wanted = {"response": "json", "max_response_bytes": 1024, "success": [200]}
    workflow_id = await harness.publish([HOOK, request("call", sink.url, retry=retry, parameters=wanted)], "hook>call")
    state = await harness.execute(harness.delivery(workflow_id))
    expected = ("failed", 1, code) if named == "not" else ("succeeded", 2, None)
    record = state.nodes["call"]
    assert (state.status, record.attempts, (record.error or {}).get("code")) == expected


async def test_slow_attempt_is_retried_as_a_timeout(harness: EngineHarness, sink: Sink) -> None:
    """Each attempt has the node's time for itself."""
    sink.pause_seconds = 1.0
    retry = [{"errors": ["timeout"], "max_attempts": 2, "initial_interval_seconds": 0.01}]
    workflow_id = await harness.publish(
        [HOOK, request("call", sink.url, retry=retry, timeout_seconds=0.2)],
        "hook>call",
    )
    run = asyncio.create_task(harness.execute(harness.delivery(workflow_id)))
    await sink.received_at_least(1)
    sink.pause_seconds = 0.0
    state = await run
    assert (state.status, state.nodes["call"].attempts) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("code", "node"),
    [
        ("expression", transform("do", "{% 1 + 'x' %}")),
        ("mine", {"id": "do", "type": "fail", "parameters": {"code": "mine", "message": "No."}}),
        ("limit", transform("do", "{% $pad('x', 900000) & $pad('x', 900000) %}")),
    ],
)
async def test_pure_nodes_failure_is_retried_too(harness: EngineHarness, code: str, node: JsonObject) -> None:
    """With expressions that fail, codes of a node's own, and limits, as with any other class."""
    retry = [{"errors": [code], "max_attempts": 3, "initial_interval_seconds": 0.01}]
    job = harness.delivery(await harness.publish([HOOK, {**node, "retry": retry}], "hook>do"))
    state = await harness.execute(job)
    record = state.nodes["do"]
    assert (state.status, record.attempts, (record.error or {}).get("code")) == ("failed", 3, code)
    assert (await harness.verify(job))["first_difference"] is None


@pytest.mark.parametrize(
    ("on_error", "status", "after"), [("fail", "failed", "skipped"), ("continue", "succeeded", "succeeded")]
)
async def test_failed_effect_fails_or_continues_the_run(
    harness: EngineHarness, sink: Sink, on_error: str, status: str, after: str
) -> None:
    """`fail` fails the run and skips what follows; `continue` hands the error on as the output."""
    sink.answer = lambda _request: (404, {}, as_json({"why": "gone"}))
    workflow_id = await harness.publish(
        [HOOK, request("call", sink.url, on_error=on_error), transform("after", "{% $input.code %}")],
        "hook>call",
        "call>after",
    )
    state = await harness.execute(harness.delivery(workflow_id))
    assert (state.status, state.nodes["after"].status) == (status, after)
    if on_error == "fail":
        assert state.error == {"code": "http_4xx", "message": "The server answered 404 X.", "node_id": "call"}
    else:
        assert state.output == "http_4xx"


async def test_routed_error_takes_the_error_handle(harness: EngineHarness, sink: Sink) -> None:
    """With `route`, what hangs on the error handle runs and what hangs on `out` does not."""
    sink.answer = lambda _request: (500, {}, b"")
    workflow_id = await harness.publish(
        [
            HOOK,
            request("call", sink.url, on_error="route"),
            transform("fine", 1),
            transform("sorry", "{% $input.code %}"),
        ],
        "hook>call",
        "call>fine",
        "call.error>sorry",
    )
    state = await harness.execute(harness.delivery(workflow_id))
    assert (state.status, state.output, state.nodes["fine"].status) == ("succeeded", "http_5xx", "skipped")


async def test_node_sees_only_what_it_comes_after(harness: EngineHarness) -> None:
    """`$nodes` as a whole holds the nodes before, whatever else has been done by then."""
    nodes = [HOOK, transform("other", 1), transform("reader", "{% $nodes.other %}"), transform("one", 2)]
    nodes.append(transform("all", "{% $keys($nodes) %}"))
    workflow_id = await harness.publish(nodes, "hook>other", "other>reader", "hook>one", "one>all")
    state = await harness.execute(harness.delivery(workflow_id))
    assert (state.nodes["reader"].output, state.nodes["all"].output) == (1, ["hook", "one"])


async def test_private_address_is_refused(harness: EngineHarness) -> None:
    """A workflow cannot reach the machine it runs on."""
    workflow_id = await harness.publish([HOOK, request("call", "http://127.0.0.1:1/")], "hook>call")
    state = await harness.execute(harness.delivery(workflow_id))
    assert state.error is not None
    assert state.error["code"] == "outbound_refused"


async def test_unpublished_workflow_is_recorded_as_failed(harness: EngineHarness) -> None:
    """A delivery for a workflow without a published version leaves a failed run that says so."""
    workflow_id = await harness.publish([HOOK, transform("one", 1)], "hook>one")
    await harness.unpublish(workflow_id)
    state = await harness.execute(harness.delivery(workflow_id))
    assert state.error is not None
    assert (state.status, state.error["code"]) == ("failed", "not_published")


async def test_bad_parameters_and_expressions_fail_the_node(harness: EngineHarness) -> None:
    """What an expression yields is checked: a wrong type and a failing expression have codes of their own."""
    workflow_id = await harness.publish(
        [
            HOOK,
            request("call", "{% $trigger.body.url %}", on_error="continue"),
            {"id": "if", "type": "if", "parameters": {"condition": "{% $trigger.body.text %}"}, "on_error": "continue"},
            transform("sum", "{% $trigger.body.text + 1 %}", on_error="continue"),
            {"id": "lost", "type": "if", "parameters": {"condition": "{% $trigger.body.nowhere %}"}},
        ],
        *("hook>call", "hook>if", "hook>sum", "hook>lost"),
    )
    state = await harness.execute(harness.delivery(workflow_id, {"url": 5, "text": "x"}))
    codes = {name: (record.error or {}).get("code") for name, record in state.nodes.items()}
    assert codes == {"hook": None, "call": "invalid_parameters", "if": "expression", "sum": "expression", "lost": None}
    assert (state.nodes["lost"].handles, state.nodes["lost"].undefined) == (["false"], ["/condition"])


async def test_interrupted_effect_is_repeated_with_its_key_and_nothing_else_is(
    harness: EngineHarness, sink: Sink
) -> None:
    """A run whose drain died in an effect goes on from its events: the effect again, the nodes before it not."""
    workflow_id = await harness.publish(
        [HOOK, request("one", sink.url), request("two", sink.url + "/two")], "hook>one", "one>two"
    )
    job = harness.delivery(workflow_id)

    sink.pause_seconds = 0.05
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(2)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await harness.new_engine("other").execute(job, is_first_claim=False)
    assert (await harness.state(job)).status == "succeeded"
    assert [one.path for one in sink.received] == ["/", "/two", "/two"]
    assert sink.received[1].key == sink.received[2].key


async def test_cancelled_run_stops_before_its_next_node(harness: EngineHarness, sink: Sink) -> None:
    """A cancellation while an effect is under way ends the run as cancelled; what follows never starts."""
    sink.pause_seconds = 0.2
    workflow_id = await harness.publish(
        [HOOK, request("one", sink.url), request("two", sink.url)], "hook>one", "one>two"
    )
    job = harness.delivery(workflow_id)
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(1)
    await cancel_execution(harness.services, harness.actor, job.execution_id, CancelExecution(reason="enough"))
    await run
    state = await harness.state(job)
    assert (state.status, state.nodes["one"].status, len(sink.received)) == ("cancelled", "cancelled", 1)


@pytest.mark.parametrize("on_error", ["fail", "continue", "route"])
async def test_an_error_in_text_that_no_database_keeps_is_the_nodes_own(harness: EngineHarness, on_error: str) -> None:
    """The run fails, or goes on, with the expression's error, not with one of ours."""
    node = transform("a", "{% $error('x\\u0000y') %}") | {"on_error": on_error}
    job = harness.delivery(await harness.publish([HOOK, node, transform("b", 1)], "hook>a", "a>b"))
    state = await harness.execute(job)
    error = state.nodes["a"].error
    assert error is not None
    assert (error["code"], "x\ufffdy" in error["message"]) == ("expression", True)
    assert (state.status == "failed") is (on_error == "fail")
    row = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert row is not None
    assert row["status"] == state.status
    assert (await harness.verify(job))["valid"]


async def test_an_error_message_is_bounded(harness: EngineHarness) -> None:
    """A list of runs shows every one's message."""
    node = transform("a", "{% $error($pad('', 200000, 'x')) %}")
    job = harness.delivery(await harness.publish([HOOK, node], "hook>a"))
    state = await harness.execute(job)
    assert state.error is not None
    assert len(state.error["message"]) == 8000
    assert (await harness.verify(job))["valid"]
