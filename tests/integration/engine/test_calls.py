"""Runs that call others: one run per call, its end comes back, and what is stopped is stopped all the way down."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from local.tools.read_models import TABLES, ReadModels
from shared.commands.executions.fork_execution import ForkExecution, fork_execution
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp
from shared.errors import InvalidGraphError
from shared.events.execution import ExecutionCancelled, ExecutionQueued, ExecutionStarted
from shared.events.node import NodeStarted
from shared.ids import derived_id, new_id
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import HOOK, EngineHarness, call, delay, request, transform
from tests.integration.engine.sink import Sink
from tests.integration.http.runs import append

START: JsonObject = {"id": "start", "type": "manual_trigger"}
DAYS = 86_400.0
EDGES = ("hook>ask", "hook>each", "hook>fine")


async def called_runs(harness: EngineHarness, job: ExecutionJob) -> list[ExecutionJob]:
    """The runs that this one has called, in the order in which they were."""
    rows = await harness.services.database.select(
        "executions", "id", lambda query: query.eq("parent_id", job.execution_id).order("created_at").order("id")
    )
    return [ExecutionJob(harness.tenant_id, row["id"], "resume") for row in rows]


async def through(harness: EngineHarness, job: ExecutionJob) -> ExecutionState:
    """The run after a drain has done all there was to do; its facts can be derived again."""
    await harness.execute(job)
    await harness.drain()
    assert (await harness.verify(job))["first_difference"] is None
    return await harness.state(job)


async def test_called_run_yields_its_output(harness: EngineHarness) -> None:
    """The called run starts by hand on the input and is linked to its caller; its output is the node's."""
    double = await harness.publish([START, transform("double", "{% $trigger.body.n * 2 %}")], "start>double")
    workflow_id = await harness.publish(
        [HOOK, call("ask", double), transform("after", "{% $input + 1 %}")], "hook>ask", "ask>after"
    )
    job = harness.delivery(workflow_id, {"n": 20})
    waiting = await harness.execute(job)
    (called,) = await called_runs(harness, job)
    ended = await through(harness, called)
    state = await harness.state(job)
    assert (waiting.status, waiting.nodes["ask"].called) == ("waiting", called.execution_id)
    assert (ended.parent_id, ended.caller, ended.trigger["type"]) == (
        job.execution_id,
        {"node_id": "ask", "depth": 1, "is_awaited": True, "handles_error": False, "calls_left": 99_999},
        "call",
    )
    assert (state.status, state.nodes["ask"].output, state.output) == ("succeeded", 40, 41)


async def test_call_that_does_not_wait_goes_on_with_the_runs_id(harness: EngineHarness) -> None:
    """The caller ends before the called run has begun."""
    slow = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    workflow_id = await harness.publish([HOOK, call("tell", slow, parameters={"wait": False})], "hook>tell")
    job = harness.delivery(workflow_id)
    state = await harness.execute(job)
    (called,) = await called_runs(harness, job)
    assert (state.status, state.output) == ("succeeded", {"execution_id": called.execution_id})
    assert (await harness.execute(called)).status == "waiting"


async def test_failure_of_the_called_run_is_the_nodes(harness: EngineHarness) -> None:
    """Its code and message are, so that retriers and `on_error` go by them; the details name the run."""
    failing = await harness.publish(
        [START, {"id": "stop", "type": "fail", "parameters": {"code": "no_stock", "message": "None left."}}],
        "start>stop",
    )
    nodes = [HOOK, call("ask", failing, on_error="route"), transform("instead", "{% $input.message %}")]
    job = harness.delivery(await harness.publish(nodes, "hook>ask", "ask.error>instead"))
    state = await through(harness, job)
    (called,) = await called_runs(harness, job)
    assert (state.status, state.output) == ("succeeded", "None left.")
    assert state.nodes["ask"].error == {
        "code": "no_stock",
        "message": "None left.",
        "details": {"execution_id": called.execution_id},
    }


async def test_each_attempt_calls_a_run_of_its_own(harness: EngineHarness, sink: Sink) -> None:
    """A retried call starts anew: the run that has failed stays as it is."""
    sink.answer = lambda request: (404 if len(sink.received) < 2 else 200, {}, b"{}")
    asking = await harness.publish([START, request("get", sink.url)], "start>get")
    retry = [{"errors": ["all"], "max_attempts": 2, "initial_interval_seconds": 0.1}]
    job = harness.delivery(await harness.publish([HOOK, call("ask", asking, retry=retry)], "hook>ask"))
    state = await through(harness, job)
    runs = [await harness.state(called) for called in await called_runs(harness, job)]
    assert (state.status, state.nodes["ask"].attempts) == ("succeeded", 2)
    assert [one.status for one in runs] == ["failed", "succeeded"]


async def test_version_is_the_one_published_when_called(harness: EngineHarness) -> None:
    """What is published while the called run waits to begin does not change it."""
    other = await harness.publish([START, transform("say", "first")], "start>say")
    job = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await harness.execute(job)
    await harness.publish_again(other, [START, transform("say", "second")], "start>say")
    await harness.drain()
    state = await harness.state(job)
    assert (state.output, state.nodes["ask"].workflow_version) == ("first", 1)


@pytest.mark.parametrize("whose", ["a_strangers", "a_draft"])
async def test_workflow_that_cannot_be_called_fails_the_node(harness: EngineHarness, whose: str) -> None:
    """A workflow of another tenant is as unknown as one that is not published."""
    owner = EngineHarness(harness.services, harness.guard, new_id()) if whose == "a_strangers" else harness
    other = await owner.publish([START, transform("say", 1)], "start>say")
    if whose == "a_draft":
        await harness.unpublish(other)
    job = harness.delivery(
        await harness.publish([HOOK, call("ask", "{% $trigger.body.id %}")], "hook>ask"), {"id": other}
    )
    state = await harness.execute(job)
    assert (state.status, (state.error or {})["code"]) == ("failed", "not_published")


async def test_publishing_refuses_a_workflow_that_is_not_there(harness: EngineHarness) -> None:
    """Each place is pointed to, those in a map's body too; one that an expression names is looked for later."""
    body = {"nodes": [call("inner", new_id())], "edges": []}
    each = {"id": "each", "type": "map", "parameters": {"items": [1], "body": body}}
    with pytest.raises(InvalidGraphError) as refused:
        await harness.publish([HOOK, call("ask", new_id()), each, call("fine", "{% $input %}")], *EDGES)
    assert [problem.pointer for problem in refused.value.problems] == [
        "/nodes/1/parameters/workflow_id",
        "/nodes/2/parameters/body/nodes/0/parameters/workflow_id",
    ]


async def test_recursion_ends_ten_deep(harness: EngineHarness) -> None:
    """A workflow may call itself; the eleventh run within another fails with `limit`, and so do those above it."""
    workflow_id = await harness.publish([START, transform("say", 1)], "start>say")
    await harness.publish_again(workflow_id, [START, call("again", workflow_id)], "start>again")
    job = await harness.start(workflow_id)
    state = await through(harness, job)
    depths, below = [], job
    while found := await called_runs(harness, below):
        (below,) = found
        depths.append((await harness.state(below)).depth)
    assert depths == list(range(1, 11))
    assert (state.status, (state.error or {})["code"]) == ("failed", "limit")


async def test_runs_that_one_leads_to_are_counted(harness: EngineHarness) -> None:
    """Nodes that call their own workflow would be more runs with each level than with the one before: what one run
    leads to is divided among all that may call, in nodes and in items, and ends with `limit`."""
    workflow_id = await harness.publish([START, transform("say", 1)], "start>say")
    again = {"workflow_id": workflow_id, "items": "{% [1..10] %}", "max_concurrency": 10}
    maps: list[JsonObject] = [{"id": f"each{n}", "type": "map", "parameters": again} for n in range(30)]
    gate = {"id": "gate", "type": "wait_for_signal", "parameters": {"name": "go"}}
    edges = ["start>each0", "start>gate", *(f"gate>each{n}" for n in range(1, 30))]
    await harness.publish_again(workflow_id, [START, gate, *maps], *edges)
    job = await harness.start(workflow_id)
    await harness.execute(job)
    first, *_ = await called_runs(harness, job)
    await harness.execute(first)
    second, *_ = await called_runs(harness, first)
    await harness.execute(second)
    left = [(await harness.state(one)).calls_left for one in (job, first, second)]
    assert left == [None, 332, 0]
    assert await called_runs(harness, second) == []
    each = (await harness.state(second)).nodes["each0"]
    assert each.items is not None
    assert {error["code"] for error in each.items.errors.values()} == {"limit"}
    for one in (job, first, second):
        assert (await harness.verify(one))["first_difference"] is None


async def test_nodes_that_were_skipped_take_no_share(harness: EngineHarness) -> None:
    """A workflow that chooses one of many to call may do so as deep as runs may call one another."""
    workflow_id = await harness.publish([START, transform("say", 1)], "start>say")
    chosen = {"id": "chosen", "type": "if", "parameters": {"condition": True}}
    others = [call(f"other{n}", workflow_id) for n in range(60)]
    edges = ["start>chosen", "chosen.true>again", *(f"chosen.false>other{n}" for n in range(60))]
    await harness.publish_again(workflow_id, [START, chosen, call("again", workflow_id), *others], *edges)
    state = await through(harness, await harness.start(workflow_id))
    assert (state.status, (state.error or {})["message"]) == ("failed", "Runs call one another at most 10 deep.")


async def test_call_that_takes_too_long_is_cancelled(harness: EngineHarness) -> None:
    """The node's timeout is how long the called run may take; what that has called goes with it."""
    slow = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    middle = await harness.publish([START, call("ask", slow)], "start>ask")
    job = harness.delivery(await harness.publish([HOOK, call("ask", middle, timeout_seconds=600)], "hook>ask"))
    await through(harness, job)
    state = await harness.execute_later(job, 601)
    (called,) = await called_runs(harness, job)
    (below,) = await called_runs(harness, called)
    assert (state.status, (state.error or {})["code"]) == ("failed", "timeout")
    assert [(await harness.state(one)).status for one in (called, below)] == ["cancelled", "cancelled"]


async def test_cancelling_reaches_all_that_was_called(harness: EngineHarness) -> None:
    """Called runs end as cancelled in one call to the store, at any depth, and say on whose behalf."""
    slow = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    middle = await harness.publish([START, call("one", slow), call("two", slow)], "start>one", "start>two")
    job = harness.delivery(await harness.publish([HOOK, call("ask", middle)], "hook>ask"))
    await through(harness, job)
    state = await harness.cancel(job)
    (called,) = await called_runs(harness, job)
    states = [await harness.state(one) for one in (called, *await called_runs(harness, called))]
    assert [state.status, *(one.status for one in states)] == ["cancelled"] * 4
    last = (await harness.events(called))[-1]
    assert (last.event_type, job.execution_id in last.payload["reason"]) == ("ExecutionCancelled", True)
    assert (await harness.services.events.verify_stream(harness.tenant_id, called.execution_id))["valid"]
    # What the database has written of them is what the events say.
    rows = [await harness.services.executions.get(harness.tenant_id, one.id) for one in (state, *states)]
    implied = [{name: value for name, value in row(one).items() if name != "tenant_id"} for one in (state, *states)]
    assert rows == implied


async def test_run_called_by_a_cancelled_one_does_not_start(harness: EngineHarness) -> None:
    """A cancellation that came before the called run was there is found when that begins."""
    other = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    job = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await harness.execute(job)
    await append(harness.services, harness.tenant_id, job.execution_id, ExecutionCancelled(None))
    (called,) = await called_runs(harness, job)
    state = await harness.execute(called)
    assert (state.status, state.started_at) == ("cancelled", None)


async def test_cancelling_a_called_run_fails_its_callers_node(harness: EngineHarness) -> None:
    """The caller learns of it at once, with the code `cancelled`."""
    slow = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    job = harness.delivery(await harness.publish([HOOK, call("ask", slow, on_error="continue")], "hook>ask"))
    await through(harness, job)
    (called,) = await called_runs(harness, job)
    await harness.cancel(called)
    await harness.drain()
    state = await harness.state(job)
    assert (state.status, (state.nodes["ask"].error or {})["code"]) == ("succeeded", "cancelled")


async def test_signal_does_not_put_off_a_caller_that_is_due(harness: EngineHarness) -> None:
    """A signal that nobody waits for writes the caller's row, after the end of what it waits for has made it due."""
    other = await harness.publish([START, transform("say", 1)], "start>say")
    job = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await harness.execute(job)
    (called,) = await called_runs(harness, job)
    await harness.execute(called)
    await harness.signal(job, "unknown")
    due = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert due is not None
    assert due["wake_at"] <= timestamp(time.time() + 1)


async def test_rebuilt_row_of_a_caller_that_is_due_says_so(harness: EngineHarness) -> None:
    """The end of what it waits for is in no event of the caller's; the row made of all events knows of it."""
    other = await harness.publish([START, transform("say", 1)], "start>say")
    job = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await harness.execute(job)
    (called,) = await called_runs(harness, job)
    (table,) = [one for one in TABLES if one.name == "executions"]
    before = ReadModels().take([*await harness.events(job), *await harness.events(called)]).rows(table)
    await harness.execute(called)
    after = ReadModels().take([*await harness.events(job), *await harness.events(called)]).rows(table)
    in_a_day = timestamp(time.time() + DAYS)
    assert before[job.execution_id,]["wake_at"] > in_a_day
    assert after[job.execution_id,]["wake_at"] < in_a_day


async def test_fork_keeps_what_a_call_yielded(harness: EngineHarness) -> None:
    """A node after the call is done anew, the called run is not; both runs can be derived again."""
    other = await harness.publish([START, transform("say", "once")], "start>say")
    workflow_id = await harness.publish(
        [HOOK, call("ask", other), transform("told", "{% $input %}")], "hook>ask", "ask>told"
    )
    job = harness.delivery(workflow_id)
    await through(harness, job)
    command = ForkExecution(from_node="told")
    forked = ExecutionJob(
        harness.tenant_id, await fork_execution(harness.services, harness.actor, job.execution_id, command), "resume"
    )
    state = await through(harness, forked)
    assert (state.status, state.output) == ("succeeded", "once")
    assert await called_runs(harness, forked) == []


async def test_end_makes_the_waiting_caller_due_without_redis(harness: EngineHarness) -> None:
    """The transaction that ends the called run moves its caller's `wake_at`; before it, the caller rests."""
    other = await harness.publish([START, transform("say", 1)], "start>say")
    job = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await harness.execute(job)
    resting = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    (called,) = await called_runs(harness, job)
    await harness.execute(called)
    due = await harness.services.executions.get(harness.tenant_id, job.execution_id)
    assert resting is not None
    assert due is not None
    assert resting["wake_at"] == (await harness.state(job)).nodes["ask"].wake_at
    assert due["wake_at"] < resting["wake_at"]


@pytest.mark.parametrize("called_is", ["not_there", "running", "ended"])
async def test_caller_whose_drain_died_finds_the_run_that_it_called(harness: EngineHarness, called_is: str) -> None:
    """Between the start of a call and its wait the called run may be missing, under way or over: it is run once."""
    other = await harness.publish([START, transform("say", "done")], "start>say")
    workflow_id = await harness.publish([START, call("ask", other)], "start>ask")
    job = await harness.start(workflow_id, 7)
    started = NodeStarted("ask", 1, None, {"workflow_id": other, "input": 7}, 0, 1)
    await append(harness.services, harness.tenant_id, job.execution_id, ExecutionStarted(1, "start"), started)
    called = ExecutionJob(harness.tenant_id, derived_id("call", job.execution_id, "ask", "1"), "resume")
    if called_is != "not_there":
        trigger = {"type": "call", "body": 7, "headers": {}, "query": {}, "method": "POST"}
        caller = {"node_id": "ask", "depth": 1, "is_awaited": True, "handles_error": False}
        queued = ExecutionQueued(other, 1, trigger, job.execution_id, caller=caller)
        await append(harness.services, harness.tenant_id, called.execution_id, queued)
    if called_is == "ended":
        await harness.execute(called)
    state = await through(harness, job)
    assert (state.status, state.output) == ("succeeded", "done")
    assert await called_runs(harness, job) == [called]


async def test_run_without_calls_asks_the_store_nothing_more(harness: EngineHarness) -> None:
    """It is one append, as before there were calls; a run that calls looks at the other once each time."""
    watched, store = harness.watched()
    plain = harness.delivery(await harness.publish([HOOK, transform("say", 1)], "hook>say"))
    other = await harness.publish([START, transform("say", 1)], "start>say")
    calling = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await watched.engine.execute(plain)
    graph = "workflow_versions"  # each is read once by a process
    assert store.called == [graph, "append_events"]
    store.called.clear()
    await watched.engine.execute(calling)
    # That it calls, the called run, and that it waits; then whether that run has ended meanwhile.
    assert store.called == [graph, graph, *["append_events"] * 3, "read_outcomes"]
    await watched.services.close()


async def test_waiting_callers_are_not_looked_at(harness: EngineHarness) -> None:
    """However many runs wait for others, a sweep is one call of the store and finds none of them due."""
    slow = await harness.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    workflow_id = await harness.publish([HOOK, call("ask", slow), call("other", slow)], "hook>ask", "hook>other")
    jobs = [harness.delivery(workflow_id) for _ in range(25)]
    await harness.services.producer.enqueue(jobs)
    await harness.drain()
    rows = await harness.services.executions.list(harness.tenant_id, 100, status="waiting")
    watched, store = harness.watched()
    summary = await watched.drain()
    await watched.services.close()
    assert len(rows) == 75
    assert {row["wake_at"] > timestamp(time.time() + DAYS / 2) for row in rows} == {True}
    assert (store.called, summary.completed) == (["claim_due"], 0)


async def test_callers_of_quick_runs_go_on_without_the_sweep(harness: EngineHarness) -> None:
    """A called run may end just when its caller is being left: whoever leaves it comes back."""
    other = await harness.publish([START, transform("say", "done")], "start>say")
    workflow_id = await harness.publish([HOOK, call("ask", other)], "hook>ask")
    jobs = [harness.delivery(workflow_id) for _ in range(60)]
    await harness.services.producer.enqueue(jobs)
    await harness.drain()
    assert {(await harness.state(job)).output for job in jobs} == {"done"}


async def test_caller_whose_answer_is_awaited_tells_it_when_it_goes_on(harness: EngineHarness) -> None:
    """That somebody waits is remembered while the caller waits for the run that it has called."""
    other = await harness.publish([START, transform("say", "done")], "start>say")
    given = harness.delivery(await harness.publish([HOOK, call("ask", other)], "hook>ask"))
    await harness.services.producer.enqueue([given._replace(client_is_waiting=True)])
    await harness.drain()
    told = await harness.services.replies.wait(given.execution_id, 0.01)
    assert json.loads(told or "null") == {"status": "succeeded", "output": "done"}


async def test_many_called_runs_end_at_once(harness: EngineHarness) -> None:
    """Fifty calls of one run, from two drains at the same time: each comes back, and none is lost in between."""
    other = await harness.publish([START, transform("say", "{% $trigger.body %}")], "start>say")
    body = {"nodes": [call("ask", other, parameters={"input": "{% $item %}"})], "edges": []}
    each = {"id": "each", "type": "map", "parameters": {"items": "{% [1..50] %}", "body": body, "max_concurrency": 20}}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    await harness.execute(job)
    await asyncio.gather(harness.drain(), harness.drain(engine=harness.new_engine("other")))
    assert (await harness.state(job)).output == list(range(1, 51))
