"""Maps on a real store: what is recorded of items, in what order, and what a run costs that has many."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from shared.domain.execution.fold import apply_event
from shared.domain.execution.state import ExecutionState
from shared.engine.run.scheduler import MAX_UNSAVED
from shared.json_types import JsonObject
from tests.integration.engine.harness import HOOK, EngineHarness, delay, request, transform
from tests.integration.engine.sink import Sink, as_json

ITEMS = "{% $trigger.body.items %}"
DAY = 86_400.0


def each(nodes: list[JsonObject], *edges: str, items: Any = ITEMS, **fields: Any) -> JsonObject:
    """A map `each` over this body; an edge is `source>target`."""
    drawn = [{"source": source, "target": target} for source, target in (edge.split(">") for edge in edges)]
    own = {name: fields.pop(name) for name in ("retry", "on_error", "id") if name in fields}
    parameters = {"items": items, "body": {"nodes": nodes, "edges": drawn}, **fields}
    return {"id": "each", "type": "map", "parameters": parameters, **own}


async def test_outputs_come_in_the_order_of_the_items(harness: EngineHarness, sink: Sink) -> None:
    """However long each item takes, the map yields their outputs in order, and what follows reads the list."""
    sink.answer = lambda request: (200, {"content-type": "application/json"}, request.body)
    body = [request("call", sink.url, parameters={"body": {"n": "{% $item.n * 10 + $index %}"}})]
    body += [transform("pick", "{% $nodes.call.body.n %}")]
    nodes = [HOOK, each(body, "call>pick"), transform("sum", "{% $sum($input) %}")]
    workflow_id = await harness.publish(nodes, "hook>each", "each>sum")
    state = await harness.execute(harness.delivery(workflow_id, {"items": [{"n": n} for n in (3, 1, 2)]}))
    assert state.nodes["each"].output == [30, 11, 22]
    assert (state.status, state.output) == ("succeeded", 63)
    assert len({one.key for one in sink.received}) == 3


async def test_pure_map_is_one_append_of_item_events(harness: EngineHarness) -> None:
    """Each item's nodes and end are events of their own; the map's end does not store the outputs again."""
    workflow_id = await harness.publish([HOOK, each([transform("double", "{% $item * 2 %}")])], "hook>each")
    job = harness.delivery(workflow_id, {"items": [1, 2]})
    state = await harness.execute(job)
    events = await harness.events(job)
    names = [event.event_type for event in events]
    assert names[2:] == ["MapStarted", *2 * ["NodeSucceeded"], *2 * ["ItemSucceeded"], *names[-2:]]
    assert names[-2:] == ["NodeSucceeded", "ExecutionSucceeded"]
    assert [event.payload["node_id"] for event in events[3:8]] == [
        *("each[0].double", "each[1].double"),
        *("each", "each", "each"),
    ]
    assert (events[7].payload["output"], state.output) == (None, [2, 4])
    assert list(state.nodes) == ["hook", "each"]


async def test_body_sees_the_item_the_index_and_what_ran_before(harness: EngineHarness) -> None:
    """The first node's input is the item; nodes before the map and the trigger are in scope; a leaf is the output."""
    body = [
        {"id": "kept", "type": "filter", "parameters": {"condition": "{% $input.ok %}"}},
        transform("told", "{% [$index, $item.n, $input.n, $nodes.before, $trigger.body.name] %}"),
    ]
    nodes = [HOOK, transform("before", "x"), each(body, "kept>told")]
    workflow_id = await harness.publish(nodes, "hook>before", "before>each")
    items = [{"ok": True, "n": 1}, {"ok": False, "n": 2}, {"ok": True, "n": 3}]
    state = await harness.execute(harness.delivery(workflow_id, {"items": items, "name": "Ada"}))
    assert state.output == [[0, 1, 1, "x", "Ada"], None, [2, 3, 3, "x", "Ada"]]


async def test_maps_stand_in_one_another(harness: EngineHarness) -> None:
    """An inner map's items are its own, and its nodes read the outer item's nodes."""
    inner = each([transform("pair", "{% [$nodes.row.name, $item, $index] %}")], items="{% $item.cells %}") | {
        "id": "inner"
    }
    nodes = [HOOK, each([transform("row", "{% $item %}"), inner], "row>inner")]
    workflow_id = await harness.publish(nodes, "hook>each")
    items = [{"name": "a", "cells": [1, 2]}, {"name": "b", "cells": []}, {"name": "c", "cells": [3]}]
    job = harness.delivery(workflow_id, {"items": items})
    state = await harness.execute(job)
    assert state.output == [[["a", 1, 0], ["a", 2, 1]], [], [["c", 3, 0]]]
    paths = {event.payload.get("node_id") for event in await harness.events(job)}
    assert "each[0].inner[1].pair" in paths


@pytest.mark.parametrize(("items", "expected"), [(None, []), ([], []), (5, [5]), ([[1]], [[1]])])
async def test_items_are_read_as_jsonata_means_them(harness: EngineHarness, items: Any, expected: list[Any]) -> None:
    """A path that leads nowhere is no item, and a lone value is one: so JSONata writes lists of none and of one."""
    workflow_id = await harness.publish([HOOK, each([transform("same", "{% $item %}")])], "hook>each")
    body = {} if items is None else {"items": items}
    assert (await harness.execute(harness.delivery(workflow_id, body))).output == expected


async def test_no_more_items_than_max_concurrency_are_under_way(harness: EngineHarness, sink: Sink) -> None:
    """Never more requests at once than the map allows, and yet as many."""
    sink.pause_seconds = 0.05
    workflow_id = await harness.publish([HOOK, each([request("call", sink.url)], max_concurrency=3)], "hook>each")
    state = await harness.execute(harness.delivery(workflow_id, {"items": list(range(9))}))
    assert state.status == "succeeded"
    arrived = sorted(one.arrived_at for one in sink.received)
    together = [sum(0 <= other - one < 0.045 for other in arrived) for one in arrived]
    assert max(together) == 3


FAILING = [{"id": "check", "type": "switch", "parameters": {"cases": [{"when": "{% $item < 0 %}", "handle": "bad"}]}}]
FAILING += [{"id": "refuse", "type": "fail", "parameters": {"code": "negative", "message": "{% $item & '' %}"}}]


def checked(**parameters: Any) -> JsonObject:
    """A map whose negative items fail, one item after the other."""
    found = each([*FAILING, transform("fine", "{% $item %}")], items=ITEMS, max_concurrency=1, **parameters)
    found["parameters"]["body"]["edges"] = [
        {"source": "check", "source_handle": "bad", "target": "refuse"},
        {"source": "check", "source_handle": "default", "target": "fine"},
    ]
    return found


@pytest.mark.parametrize(
    ("parameters", "items", "status", "counts"),
    [
        ({}, [1, -2, 3], "failed", (1, 1)),
        ({"tolerated_failure_count": 1}, [1, -2, 3], "succeeded", (2, 1)),
        ({"tolerated_failure_count": 1}, [-1, -2, 3], "failed", (0, 2)),
        ({"tolerated_failure_percentage": 34}, [1, -2, 3], "succeeded", (2, 1)),
        ({"tolerated_failure_percentage": 33}, [1, -2, 3], "failed", (1, 1)),
        ({"tolerated_failure_count": 2, "tolerated_failure_percentage": 10}, [-1, 2], "failed", (0, 1)),
        ({"min_successful": 1}, [-1, 2, 3], "succeeded", (1, 1)),
        ({"min_successful": 2}, [-1, -2, 3], "failed", (0, 2)),
        ({"min_successful": 4}, [1, 2, 3], "failed", (0, 0)),
        ({"min_successful": 1, "tolerated_failure_count": 0}, [-1, 2], "failed", (0, 1)),
    ],
)
async def test_map_ends_as_its_limits_say(
    harness: EngineHarness, parameters: JsonObject, items: list[int], status: str, counts: tuple[int, int]
) -> None:
    """So many may fail, or so many are enough; what is decided starts no further item."""
    workflow_id = await harness.publish([HOOK, checked(**parameters)], "hook>each")
    state = await harness.execute(harness.delivery(workflow_id, {"items": items}))
    found = state.nodes["each"].items
    assert found is not None
    assert (state.status, (len(found.outputs), len(found.errors))) == (status, counts)
    if status == "failed":
        assert state.error is not None
        assert (state.error["code"], state.error["node_id"]) == ("items_failed", "each")


async def test_tolerated_failure_leaves_null_and_its_error_in_the_view(harness: EngineHarness) -> None:
    """The outputs keep their places; why an item failed stands in the run's view."""
    workflow_id = await harness.publish([HOOK, checked(tolerated_failure_count=1)], "hook>each")
    job = harness.delivery(workflow_id, {"items": [1, -2, 3]})
    state = await harness.execute(job)
    assert state.output == [1, None, 3]
    record = state.nodes["each"].items
    assert record is not None
    assert record.view() == {
        "total": 3,
        "succeeded": 2,
        "failed": 1,
        "running": 0,
        "errors": [{"index": 1, "code": "negative", "message": "-2", "node_id": "each[1].refuse"}],
    }


async def test_items_wait_and_take_signals(harness: EngineHarness, sink: Sink) -> None:
    """Items wait for signals of their own and for timers; a waiting run holds nothing and goes on where it was."""
    wait = {"id": "ok", "type": "wait_for_signal", "parameters": {"name": "ok-{% $index %}"}}
    body = [request("ask", sink.url), wait, delay("pause", seconds=DAY), transform("done", "{% $nodes.ok & $item %}")]
    workflow_id = await harness.publish([HOOK, each(body, "ask>ok", "ok>pause", "pause>done")], "hook>each")
    job = harness.delivery(workflow_id, {"items": ["a", "b"]})
    assert (await harness.execute(job)).status == "waiting"
    await harness.signal(job, "ok-1", "x")
    assert (await harness.execute(job)).waiting == {"each[0].ok", "each[1].pause"}
    await harness.signal(job, "ok-0", "y")
    await harness.execute(job)
    state = await harness.execute_later(job, DAY + 60)
    assert (state.status, state.output, len(sink.received)) == ("succeeded", ["ya", "xb"], 2)


async def test_items_retry_alone(harness: EngineHarness, sink: Sink) -> None:
    """A node of one item is tried again with its item's key; the other items are not."""
    seen: Counter[str | None] = Counter()

    def answer(request: Any) -> Any:
        seen[request.key] += 1
        return (503, {}, b"") if request.body == b'"bad"' and seen[request.key] < 3 else (200, {}, as_json(1))

    sink.answer = answer
    retry = [{"errors": ["http_5xx"], "max_attempts": 3, "initial_interval_seconds": 0.02}]
    body = [request("call", sink.url, parameters={"body": "{% $item %}"}, retry=retry)]
    workflow_id = await harness.publish([HOOK, each(body)], "hook>each")
    state = await harness.execute(harness.delivery(workflow_id, {"items": ["a", "bad", "c"]}))
    assert (state.status, sorted(seen.values())) == ("succeeded", [1, 1, 3])


async def test_retried_map_repeats_the_failed_items_alone(harness: EngineHarness, sink: Sink) -> None:
    """Another attempt at a map keeps what succeeded."""
    sink.answer = lambda request: (500 if request.body == b"2" and len(sink.received) < 4 else 200, {}, b"{}")
    body = [request("call", sink.url, parameters={"body": "{% $item %}"})]
    retry = [{"errors": ["items_failed"], "max_attempts": 2, "initial_interval_seconds": 0.02}]
    workflow_id = await harness.publish([HOOK, each(body, tolerated_failure_count=0, retry=retry)], "hook>each")
    state = await harness.execute(harness.delivery(workflow_id, {"items": [1, 2, 3]}))
    assert (state.status, state.nodes["each"].attempts) == ("succeeded", 2)
    assert Counter(one.body for one in sink.received) == {b"1": 1, b"2": 2, b"3": 1}


async def test_routed_map_goes_on_at_its_error_handle(harness: EngineHarness) -> None:
    """`on_error: route` makes the error the input of what follows."""
    nodes = [HOOK, checked(on_error="route"), transform("sorry", "{% $input.code %}")]
    workflow_id = await harness.publish(nodes, "hook>each", "each.error>sorry")
    state = await harness.execute(harness.delivery(workflow_id, {"items": [-1]}))
    assert (state.status, state.output) == ("succeeded", "items_failed")


async def test_interrupted_map_repeats_no_finished_item(harness: EngineHarness, sink: Sink) -> None:
    """A drain that dies in the middle leaves its items' ends; the next one runs the others, under the same keys."""
    sink.pause_seconds = 0.01
    body = [request("call", sink.url, parameters={"body": "{% $item %}"})]
    workflow_id = await harness.publish([HOOK, each(body, max_concurrency=4)], "hook>each")
    job = harness.delivery(workflow_id, {"items": list(range(30))})
    run = asyncio.create_task(harness.engine.execute(job))
    await sink.received_at_least(15)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    ended = {event.payload["index"] for event in await harness.events(job) if event.event_type == "ItemSucceeded"}
    before = len(sink.received)
    await harness.new_engine("other").execute(job, is_first_claim=False)
    assert (await harness.state(job)).status == "succeeded"
    again = {int(one.body) for one in sink.received[before:]}
    assert len(ended) >= 8
    assert not ended & again
    assert len({one.key for one in sink.received}) == 30


async def test_map_over_a_workflow_calls_it_for_each_item(harness: EngineHarness) -> None:
    """A run of its own for each item, so many at once as the map allows; their outputs come in order."""
    start = {"id": "start", "type": "manual_trigger"}
    double = await harness.publish([start, transform("double", "{% $trigger.body.n * 2 %}")], "start>double")
    parameters = {"items": ITEMS, "workflow_id": double, "max_concurrency": 2}
    workflow_id = await harness.publish([HOOK, {"id": "each", "type": "map", "parameters": parameters}], "hook>each")
    job = harness.delivery(workflow_id, {"items": [{"n": n} for n in range(5)]})
    waiting = await harness.execute(job)
    while (await harness.state(job)).status != "succeeded":
        await harness.drain()
    assert set(waiting.calls) == {"each[0].call", "each[1].call"}
    assert (await harness.state(job)).output == [0, 2, 4, 6, 8]
    assert (await harness.verify(job))["first_difference"] is None


async def test_failure_of_a_called_workflow_is_the_items(harness: EngineHarness) -> None:
    """It is tolerated like any other."""
    start = {"id": "start", "type": "manual_trigger"}
    failing = await harness.publish([start, {"id": "stop", "type": "fail", "parameters": {"code": "no"}}], "start>stop")
    parameters = {"items": [1], "workflow_id": failing, "tolerated_failure_count": 1}
    workflow_id = await harness.publish([HOOK, {"id": "each", "type": "map", "parameters": parameters}], "hook>each")
    job = harness.delivery(workflow_id)
    await harness.execute(job)
    while (await harness.state(job)).status != "succeeded":
        await harness.drain()
    state = await harness.state(job)
    assert state.nodes["each"].items is not None
    assert state.nodes["each"].items.errors[0]["code"] == "no"


async def test_cancelled_run_cancels_its_map(harness: EngineHarness) -> None:
    """Waiting items end with the run."""
    workflow_id = await harness.publish([HOOK, each([delay("pause", seconds=DAY)])], "hook>each")
    job = harness.delivery(workflow_id, {"items": [1]})
    await harness.execute(job)
    await harness.cancel(job)
    state = await harness.state(job)
    assert (state.status, state.nodes["each"].status) == ("cancelled", "cancelled")


async def test_timer_of_one_item_does_not_wait_for_another_items_work(harness: EngineHarness, sink: Sink) -> None:
    """What is due goes on while a request of another item is under way."""
    sink.pause_seconds = 2.5
    body = [
        {"id": "which", "type": "if", "parameters": {"condition": "{% $index = 0 %}"}},
        delay("pause", seconds=2.05),
        request("call", sink.url),
    ]
    drawn = each(body)
    drawn["parameters"]["body"]["edges"] = [
        {"source": "which", "source_handle": "true", "target": "pause"},
        {"source": "which", "source_handle": "false", "target": "call"},
    ]
    workflow_id = await harness.publish([HOOK, drawn], "hook>each")
    job = harness.delivery(workflow_id, {"items": [1, 2]})
    await harness.execute(job)
    ended = [event.payload["index"] for event in await harness.events(job) if event.event_type == "ItemSucceeded"]
    assert ended == [0, 1]


async def test_ten_thousand_items_cost_ten_thousand_times_one(harness: EngineHarness) -> None:
    """Facts and appends grow with the items and no faster, and what is kept of them while they run does not grow."""
    body = [transform("double", {"n": "{% $item * 2 %}", "at": "{% $index %}"})]
    nodes = [HOOK, each(body), transform("sum", "{% $sum($input.n) %}")]
    workflow_id = await harness.publish(nodes, "hook>each", "each>sum")
    counts = {}
    for size in (100, 10_000):
        job = harness.delivery(workflow_id, {"items": list(range(size))})
        state = await harness.execute(job)
        assert (state.status, state.output) == ("succeeded", size * (size - 1))
        counts[size] = await harness.appends(job)
        assert state.stream_version == 2 * size + 6
    assert counts[100] == 1
    assert counts[10_000] <= 2 * 10_000 / MAX_UNSAVED + 2


async def test_state_of_a_map_is_as_small_as_what_is_under_way(harness: EngineHarness) -> None:
    """Halfway through many items, the run's state has the nodes of no more than may be under way."""
    workflow_id = await harness.publish([HOOK, each([transform("same", "{% $item %}")])], "hook>each")
    job = harness.delivery(workflow_id, {"items": list(range(2_000))})
    await harness.execute(job)
    state, largest = ExecutionState(job.execution_id, harness.tenant_id), 0
    for event in await harness.events(job):
        apply_event(state, event)
        largest = max(largest, len(state.nodes))
    assert largest <= 2 + 10


async def test_map_of_waiting_items_is_not_read_again_for_each(harness: EngineHarness) -> None:
    """However often the run comes back to a drain, its events are read once; another drain reads them all again."""
    mine, watched = harness.watched()
    body = [delay("pause", seconds=DAY), transform("same", "{% $item %}")]
    workflow_id = await mine.publish([HOOK, each(body, "pause>same", max_concurrency=50)], "hook>each")
    job = mine.delivery(workflow_id, {"items": list(range(600))})
    ahead = 0.0
    engine = mine.new_engine("patient", lambda: time.time() + ahead)
    watched.called.clear()
    for _ in range(600 // 50 + 1):
        await engine.execute(job, is_first_claim=ahead == 0)
        ahead += DAY
    reads = watched.called.count("read_stream")
    state = await mine.state(job)
    assert (state.status, state.output) == ("succeeded", list(range(600)))
    # Each return reads what is new; all of it is more than two pages.
    assert state.stream_version > 2_000
    assert reads <= 600 // 50 + 5
    await mine.services.close()
