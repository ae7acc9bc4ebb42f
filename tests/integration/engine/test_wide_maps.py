"""What a step of a run costs does not grow with how many of its other nodes are at work, or wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from shared.bootstrap import Services
from shared.json_types import JsonObject
from shared.repositories.database import Database
from tests.integration.engine.harness import HOOK, EngineHarness, delay, request, transform
from tests.integration.engine.sink import Sink


def square(side: int, *nodes: JsonObject) -> JsonObject:
    """A map in a map: the nodes as often as a square of this side has fields, all at once."""
    items: JsonObject = {"items": list(range(side)), "max_concurrency": side}
    inner = {"id": "inner", "type": "map", "parameters": {**items, "body": {"nodes": nodes}}}
    return {"id": "outer", "type": "map", "parameters": {**items, "body": {"nodes": [inner]}}}


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """How many functions were called meanwhile, Python's and C's, in this thread."""
    calls = [0]

    def note(_frame: FrameType, event: str, _argument: Any) -> None:
        calls[0] += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def _calls(harness: EngineHarness, sink: Sink, side: int) -> int:
    nodes = delay("wait", seconds=3600), request("send", sink.url)
    job = harness.delivery(await harness.publish([HOOK, square(side, *nodes)], "hook>outer"))
    with counted_calls() as calls:
        await harness.engine.execute(job)
    return calls[0]


async def test_nodes_cost_as_much_among_many_as_among_few(harness: EngineHarness, sink: Sink) -> None:
    """Sixteen times as many effects, each ending beside as many more others and waits, take sixteen times as many
    calls, not their square."""
    await _calls(harness, sink, 2)  # what is imported and compiled once
    few, many = await _calls(harness, sink, 5), await _calls(harness, sink, 20)
    assert many < 17 * few


async def test_nodes_that_are_due_together_are_each_looked_at_once(harness: EngineHarness) -> None:
    """A drain that comes when all have waited long enough."""
    job = harness.delivery(await harness.publish([HOOK, square(20, delay("n", seconds=3600))], "hook>outer"))
    assert len((await harness.execute(job)).waiting) == 400
    state = await harness.execute_later(job, 3600)
    assert (state.status, len(state.output), len(state.output[0])) == ("succeeded", 20, 20)
    assert (await harness.verify(job))["valid"]


class Callers(Database):
    """The database, and how many called runs its callers have named."""

    named = 0

    async def rpc(self, function: str, argument: JsonObject) -> Any:
        self.named += len(argument.get("calls", ()))
        return await super().rpc(function, argument)


async def test_called_runs_are_named_when_their_caller_rests(harness: EngineHarness, sink: Sink) -> None:
    """And not with each of the many appends that it makes before; it goes on when they have ended all the same."""
    start = {"id": "start", "type": "manual_trigger"}
    child = await harness.publish([start, transform("one", "{% $trigger.body %}")], "start>one")
    asks = {"id": "ask", "type": "call_workflow", "parameters": {"workflow_id": child, "input": "{% $item %}"}}
    each = {"id": "each", "type": "map", "parameters": {"items": list(range(30)), "max_concurrency": 30}}
    each["parameters"]["body"] = {"nodes": [asks, request("send", sink.url)]}
    job = harness.delivery(await harness.publish([HOOK, each], "hook>each"))
    settings = harness.services.settings
    database = Callers(settings.supabase_url, settings.supabase_key)
    watched = EngineHarness(Services(database, settings), harness.guard, harness.tenant_id)
    await watched.engine.execute(job)
    await watched.services.close()
    assert database.named == 30
    await harness.drain()
    state = await harness.state(job)
    assert (state.status, [output["ask"] for output in state.output]) == ("succeeded", list(range(30)))
