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
from tests.integration.engine.harness import HOOK, Bench, call, delay, request, transform
from tests.integration.engine.sink import Sink
from tests.integration.http.runs import append

START: JsonObject = {"id": "start", "type": "manual_trigger"}
DAYS = 86_400.0
EDGES = ("hook>ask", "hook>each", "hook>fine")


async def called_runs(bench: Bench, job: ExecutionJob) -> list[ExecutionJob]:
    """The runs that this one has called, in the order in which they were."""
    rows = await bench.services.database.select(
        "executions", "id", lambda query: query.eq("parent_id", job.execution_id).order("created_at").order("id")
    )
    return [ExecutionJob(bench.tenant_id, row["id"], "resume") for row in rows]


async def through(bench: Bench, job: ExecutionJob) -> ExecutionState:
    """The run after a drain has done all there was to do; its facts can be derived again."""
    await bench.execute(job)
    await bench.drain()
    assert (await bench.verify(job))["first_difference"] is None
    return await bench.state(job)


async def test_called_run_yields_its_output(bench: Bench) -> None:
    """The called run starts by hand on the input and is linked to its caller; its output is the node's."""
    double = await bench.publish([START, transform("double", "{% $trigger.body.n * 2 %}")], "start>double")
    workflow_id = await bench.publish(
        [HOOK, call("ask", double), transform("after", "{% $input + 1 %}")], "hook>ask", "ask>after"
    )
    job = bench.delivery(workflow_id, {"n": 20})
    waiting = await bench.execute(job)
    (called,) = await called_runs(bench, job)
    ended = await through(bench, called)
    state = await bench.state(job)
    assert (waiting.status, waiting.nodes["ask"].called) == ("waiting", called.execution_id)
    assert (ended.parent_id, ended.caller, ended.trigger["type"]) == (
        job.execution_id,
        {"node_id": "ask", "depth": 1, "is_awaited": True, "handles_error": False, "calls_left": 99_999},
        "call",
    )
    assert (state.status, state.nodes["ask"].output, state.output) == ("succeeded", 40, 41)


async def test_call_that_does_not_wait_goes_on_with_the_runs_id(bench: Bench) -> None:
    """The caller ends before the called run has begun."""
    slow = await bench.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    workflow_id = await bench.publish([HOOK, call("tell", slow, parameters={"wait": False})], "hook>tell")
    job = bench.delivery(workflow_id)
    state = await bench.execute(job)
    (called,) = await called_runs(bench, job)
    assert (state.status, state.output) == ("succeeded", {"execution_id": called.execution_id})
    assert (await bench.execute(called)).status == "waiting"


async def test_failure_of_the_called_run_is_the_nodes(bench: Bench) -> None:
    """Its code and message are, so that retriers and `on_error` go by them; the details name the run."""
    failing = await bench.publish(
        [START, {"id": "stop", "type": "fail", "parameters": {"code": "no_stock", "message": "None left."}}],
        "start>stop",
    )
    nodes = [HOOK, call("ask", failing, on_error="route"), transform("instead", "{% $input.message %}")]
    job = bench.delivery(await bench.publish(nodes, "hook>ask", "ask.error>instead"))
    state = await through(bench, job)
    (called,) = await called_runs(bench, job)
    assert (state.status, state.output) == ("succeeded", "None left.")
    assert state.nodes["ask"].error == {
        "code": "no_stock",
        "message": "None left.",
        "details": {"execution_id": called.execution_id},
    }


async def test_each_attempt_calls_a_run_of_its_own(bench: Bench, sink: Sink) -> None:
    """A retried call starts anew: the run that has failed stays as it is."""
    sink.answer = lambda request: (404 if len(sink.received) < 2 else 200, {}, b"{}")
    asking = await bench.publish([START, request("get", sink.url)], "start>get")
    retry = [{"errors": ["all"], "max_attempts": 2, "initial_interval_seconds": 0.1}]
    job = bench.delivery(await bench.publish([HOOK, call("ask", asking, retry=retry)], "hook>ask"))
    state = await through(bench, job)
    runs = [await bench.state(called) for called in await called_runs(bench, job)]
    assert (state.status, state.nodes["ask"].attempts) == ("succeeded", 2)
    assert [one.status for one in runs] == ["failed", "succeeded"]


async def test_version_is_the_one_published_when_called(bench: Bench) -> None:
    """What is published while the called run waits to begin does not change it."""
    other = await bench.publish([START, transform("say", "first")], "start>say")
    job = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await bench.execute(job)
    await bench.publish_again(other, [START, transform("say", "second")], "start>say")
    await bench.drain()
    state = await bench.state(job)
    assert (state.output, state.nodes["ask"].workflow_version) == ("first", 1)


@pytest.mark.parametrize("whose", ["a_strangers", "a_draft"])
async def test_workflow_that_cannot_be_called_fails_the_node(bench: Bench, whose: str) -> None:
    """A workflow of another tenant is as unknown as one that is not published."""
    owner = Bench(bench.services, bench.guard, new_id()) if whose == "a_strangers" else bench
    other = await owner.publish([START, transform("say", 1)], "start>say")
    if whose == "a_draft":
        await bench.unpublish(other)
    job = bench.delivery(await bench.publish([HOOK, call("ask", "{% $trigger.body.id %}")], "hook>ask"), {"id": other})
    state = await bench.execute(job)
    assert (state.status, (state.error or {})["code"]) == ("failed", "not_published")


async def test_publishing_refuses_a_workflow_that_is_not_there(bench: Bench) -> None:
    """Each place is pointed to, those in a map's body too; one that an expression names is looked for later."""
    body = {"nodes": [call("inner", new_id())], "edges": []}
    each = {"id": "each", "type": "map", "parameters": {"items": [1], "body": body}}
    with pytest.raises(InvalidGraphError) as refused:
        await bench.publish([HOOK, call("ask", new_id()), each, call("fine", "{% $input %}")], *EDGES)
    assert [problem.pointer for problem in refused.value.problems] == [
        "/nodes/1/parameters/workflow_id",
        "/nodes/2/parameters/body/nodes/0/parameters/workflow_id",
    ]


async def test_recursion_ends_ten_deep(bench: Bench) -> None:
    """A workflow may call itself; the eleventh run within another fails with `limit`, and so do those above it."""
    workflow_id = await bench.publish([START, transform("say", 1)], "start>say")
    await bench.publish_again(workflow_id, [START, call("again", workflow_id)], "start>again")
    job = await bench.start(workflow_id)
    state = await through(bench, job)
    depths, below = [], job
    while found := await called_runs(bench, below):
        (below,) = found
        depths.append((await bench.state(below)).depth)
    assert depths == list(range(1, 11))
    assert (state.status, (state.error or {})["code"]) == ("failed", "limit")


async def test_runs_that_one_leads_to_are_counted(bench: Bench) -> None:
    """Nodes that call their own workflow would be more runs with each level than with the one before: what one run
    leads to is divided among all that may call, in nodes and in items, and ends with `limit`."""
    workflow_id = await bench.publish([START, transform("say", 1)], "start>say")
    again = {"workflow_id": workflow_id, "items": "{% [1..10] %}", "max_concurrency": 10}
    maps: list[JsonObject] = [{"id": f"each{n}", "type": "map", "parameters": again} for n in range(30)]
    gate = {"id": "gate", "type": "wait_for_signal", "parameters": {"name": "go"}}
    edges = ["start>each0", "start>gate", *(f"gate>each{n}" for n in range(1, 30))]
    await bench.publish_again(workflow_id, [START, gate, *maps], *edges)
    job = await bench.start(workflow_id)
    await bench.execute(job)
    first, *_ = await called_runs(bench, job)
    await bench.execute(first)
    second, *_ = await called_runs(bench, first)
    await bench.execute(second)
    left = [(await bench.state(one)).calls_left for one in (job, first, second)]
    assert left == [None, 332, 0]
    assert await called_runs(bench, second) == []
    each = (await bench.state(second)).nodes["each0"]
    assert each.items is not None
    assert {error["code"] for error in each.items.errors.values()} == {"limit"}
    for one in (job, first, second):
        assert (await bench.verify(one))["first_difference"] is None


async def test_nodes_that_were_skipped_take_no_share(bench: Bench) -> None:
    """A workflow that chooses one of many to call may do so as deep as runs may call one another."""
    workflow_id = await bench.publish([START, transform("say", 1)], "start>say")
    chosen = {"id": "chosen", "type": "if", "parameters": {"condition": True}}
    others = [call(f"other{n}", workflow_id) for n in range(60)]
    edges = ["start>chosen", "chosen.true>again", *(f"chosen.false>other{n}" for n in range(60))]
    await bench.publish_again(workflow_id, [START, chosen, call("again", workflow_id), *others], *edges)
    state = await through(bench, await bench.start(workflow_id))
    assert (state.status, (state.error or {})["message"]) == ("failed", "Runs call one another at most 10 deep.")


async def test_call_that_takes_too_long_is_cancelled(bench: Bench) -> None:
    """The node's timeout is how long the called run may take; what that has called goes with it."""
    slow = await bench.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    middle = await bench.publish([START, call("ask", slow)], "start>ask")
    job = bench.delivery(await bench.publish([HOOK, call("ask", middle, timeout_seconds=600)], "hook>ask"))
    await through(bench, job)
    state = await bench.execute_later(job, 601)
    (called,) = await called_runs(bench, job)
    (below,) = await called_runs(bench, called)
    assert (state.status, (state.error or {})["code"]) == ("failed", "timeout")
    assert [(await bench.state(one)).status for one in (called, below)] == ["cancelled", "cancelled"]


async def test_cancelling_reaches_all_that_was_called(bench: Bench) -> None:
    """Called runs end as cancelled in one call to the store, at any depth, and say on whose behalf."""
    slow = await bench.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    middle = await bench.publish([START, call("one", slow), call("two", slow)], "start>one", "start>two")
    job = bench.delivery(await bench.publish([HOOK, call("ask", middle)], "hook>ask"))
    await through(bench, job)
    state = await bench.cancel(job)
    (called,) = await called_runs(bench, job)
    states = [await bench.state(one) for one in (called, *await called_runs(bench, called))]
    assert [state.status, *(one.status for one in states)] == ["cancelled"] * 4
    last = (await bench.events(called))[-1]
    assert (last.event_type, job.execution_id in last.payload["reason"]) == ("ExecutionCancelled", True)
    assert (await bench.services.events.verify_stream(bench.tenant_id, called.execution_id))["valid"]
    # What the database has written of them is what the events say.
    rows = [await bench.services.executions.get(bench.tenant_id, one.id) for one in (state, *states)]
    implied = [{name: value for name, value in row(one).items() if name != "tenant_id"} for one in (state, *states)]
    assert rows == implied


async def test_run_called_by_a_cancelled_one_does_not_start(bench: Bench) -> None:
    """A cancellation that came before the called run was there is found when that begins."""
    other = await bench.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    job = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await bench.execute(job)
    await append(bench.services, bench.tenant_id, job.execution_id, ExecutionCancelled(None))
    (called,) = await called_runs(bench, job)
    state = await bench.execute(called)
    assert (state.status, state.started_at) == ("cancelled", None)


async def test_cancelling_a_called_run_fails_its_callers_node(bench: Bench) -> None:
    """The caller learns of it at once, with the code `cancelled`."""
    slow = await bench.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    job = bench.delivery(await bench.publish([HOOK, call("ask", slow, on_error="continue")], "hook>ask"))
    await through(bench, job)
    (called,) = await called_runs(bench, job)
    await bench.cancel(called)
    await bench.drain()
    state = await bench.state(job)
    assert (state.status, (state.nodes["ask"].error or {})["code"]) == ("succeeded", "cancelled")


async def test_signal_does_not_put_off_a_caller_that_is_due(bench: Bench) -> None:
    """A signal that nobody waits for writes the caller's row, after the end of what it waits for has made it due."""
    other = await bench.publish([START, transform("say", 1)], "start>say")
    job = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await bench.execute(job)
    (called,) = await called_runs(bench, job)
    await bench.execute(called)
    await bench.signal(job, "unknown")
    due = await bench.services.executions.get(bench.tenant_id, job.execution_id)
    assert due is not None
    assert due["wake_at"] <= timestamp(time.time() + 1)


async def test_rebuilt_row_of_a_caller_that_is_due_says_so(bench: Bench) -> None:
    """The end of what it waits for is in no event of the caller's; the row made of all events knows of it."""
    other = await bench.publish([START, transform("say", 1)], "start>say")
    job = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await bench.execute(job)
    (called,) = await called_runs(bench, job)
    (table,) = [one for one in TABLES if one.name == "executions"]
    before = ReadModels().take([*await bench.events(job), *await bench.events(called)]).rows(table)
    await bench.execute(called)
    after = ReadModels().take([*await bench.events(job), *await bench.events(called)]).rows(table)
    in_a_day = timestamp(time.time() + DAYS)
    assert before[job.execution_id,]["wake_at"] > in_a_day
    assert after[job.execution_id,]["wake_at"] < in_a_day


async def test_fork_keeps_what_a_call_yielded(bench: Bench) -> None:
    """A node after the call is done anew, the called run is not; both runs can be derived again."""
    other = await bench.publish([START, transform("say", "once")], "start>say")
    workflow_id = await bench.publish(
        [HOOK, call("ask", other), transform("told", "{% $input %}")], "hook>ask", "ask>told"
    )
    job = bench.delivery(workflow_id)
    await through(bench, job)
    command = ForkExecution(from_node="told")
    forked = ExecutionJob(
        bench.tenant_id, await fork_execution(bench.services, bench.actor, job.execution_id, command), "resume"
    )
    state = await through(bench, forked)
    assert (state.status, state.output) == ("succeeded", "once")
    assert await called_runs(bench, forked) == []


async def test_end_makes_the_waiting_caller_due_without_redis(bench: Bench) -> None:
    """The transaction that ends the called run moves its caller's `wake_at`; before it, the caller rests."""
    other = await bench.publish([START, transform("say", 1)], "start>say")
    job = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await bench.execute(job)
    resting = await bench.services.executions.get(bench.tenant_id, job.execution_id)
    (called,) = await called_runs(bench, job)
    await bench.execute(called)
    due = await bench.services.executions.get(bench.tenant_id, job.execution_id)
    assert resting is not None
    assert due is not None
    assert resting["wake_at"] == (await bench.state(job)).nodes["ask"].wake_at
    assert due["wake_at"] < resting["wake_at"]


@pytest.mark.parametrize("called_is", ["not_there", "running", "ended"])
async def test_caller_whose_drain_died_finds_the_run_that_it_called(bench: Bench, called_is: str) -> None:
    """Between the start of a call and its wait the called run may be missing, under way or over: it is run once."""
    other = await bench.publish([START, transform("say", "done")], "start>say")
    workflow_id = await bench.publish([START, call("ask", other)], "start>ask")
    job = await bench.start(workflow_id, 7)
    started = NodeStarted("ask", 1, None, {"workflow_id": other, "input": 7}, 0, 1)
    await append(bench.services, bench.tenant_id, job.execution_id, ExecutionStarted(1, "start"), started)
    called = ExecutionJob(bench.tenant_id, derived_id("call", job.execution_id, "ask", "1"), "resume")
    if called_is != "not_there":
        trigger = {"type": "call", "body": 7, "headers": {}, "query": {}, "method": "POST"}
        caller = {"node_id": "ask", "depth": 1, "is_awaited": True, "handles_error": False}
        queued = ExecutionQueued(other, 1, trigger, job.execution_id, caller=caller)
        await append(bench.services, bench.tenant_id, called.execution_id, queued)
    if called_is == "ended":
        await bench.execute(called)
    state = await through(bench, job)
    assert (state.status, state.output) == ("succeeded", "done")
    assert await called_runs(bench, job) == [called]


async def test_run_without_calls_asks_the_store_nothing_more(bench: Bench) -> None:
    """It is one append, as before there were calls; a run that calls looks at the other once each time."""
    watched, store = bench.watched()
    plain = bench.delivery(await bench.publish([HOOK, transform("say", 1)], "hook>say"))
    other = await bench.publish([START, transform("say", 1)], "start>say")
    calling = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await watched.engine.execute(plain)
    graph = "workflow_versions"  # each is read once by a process
    assert store.called == [graph, "append_events"]
    store.called.clear()
    await watched.engine.execute(calling)
    # That it calls, the called run, and that it waits; then whether that run has ended meanwhile.
    assert store.called == [graph, graph, *["append_events"] * 3, "read_outcomes"]
    await watched.services.close()


async def test_waiting_callers_are_not_looked_at(bench: Bench) -> None:
    """However many runs wait for others, a sweep is one call of the store and finds none of them due."""
    slow = await bench.publish([START, delay("pause", seconds=DAYS)], "start>pause")
    workflow_id = await bench.publish([HOOK, call("ask", slow), call("other", slow)], "hook>ask", "hook>other")
    jobs = [bench.delivery(workflow_id) for _ in range(25)]
    await bench.services.queue.enqueue(jobs)
    await bench.drain()
    rows = await bench.services.executions.list(bench.tenant_id, 100, status="waiting")
    watched, store = bench.watched()
    summary = await watched.drain()
    await watched.services.close()
    assert len(rows) == 75
    assert {row["wake_at"] > timestamp(time.time() + DAYS / 2) for row in rows} == {True}
    assert (store.called, summary.completed) == (["claim_due"], 0)


async def test_callers_of_quick_runs_go_on_without_the_sweep(bench: Bench) -> None:
    """A called run may end just when its caller is being left: whoever leaves it comes back."""
    other = await bench.publish([START, transform("say", "done")], "start>say")
    workflow_id = await bench.publish([HOOK, call("ask", other)], "hook>ask")
    jobs = [bench.delivery(workflow_id) for _ in range(60)]
    await bench.services.queue.enqueue(jobs)
    await bench.drain()
    assert {(await bench.state(job)).output for job in jobs} == {"done"}


async def test_caller_whose_answer_is_awaited_tells_it_when_it_goes_on(bench: Bench) -> None:
    """That somebody waits is remembered while the caller waits for the run that it has called."""
    other = await bench.publish([START, transform("say", "done")], "start>say")
    given = bench.delivery(await bench.publish([HOOK, call("ask", other)], "hook>ask"))
    await bench.services.queue.enqueue([given._replace(client_is_waiting=True)])
    await bench.drain()
    told = await bench.services.replies.wait(given.execution_id, 0.01)
    assert json.loads(told or "null") == {"status": "succeeded", "output": "done"}


async def test_many_called_runs_end_at_once(bench: Bench) -> None:
    """Fifty calls of one run, from two drains at the same time: each comes back, and none is lost in between."""
    other = await bench.publish([START, transform("say", "{% $trigger.body %}")], "start>say")
    body = {"nodes": [call("ask", other, parameters={"input": "{% $item %}"})], "edges": []}
    each = {"id": "each", "type": "map", "parameters": {"items": "{% [1..50] %}", "body": body, "max_concurrency": 20}}
    job = bench.delivery(await bench.publish([HOOK, each], "hook>each"))
    await bench.execute(job)
    await asyncio.gather(bench.drain(), bench.drain(engine=bench.new_engine("other")))
    assert (await bench.state(job)).output == list(range(1, 51))
