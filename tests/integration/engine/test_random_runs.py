"""Random graphs through the real engine, with crashes at random moments: each ends as the rule says."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from shared.repositories.append import Append, Appended
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from tests.integration.engine.harness import HOOK, EngineHarness
from tests.integration.engine.sink import Sink

HANDLES = ("a", "b")


def handles_of(on_error: str) -> tuple[str, ...]:
    """The handles of a node that may fail."""
    return ("out", "error") if on_error == "route" else ("out",)


def _map(url: str, items: list[bool], tolerated: int, concurrency: int) -> JsonObject:
    """A map that sends a request for each item, which is refused where the item is false."""
    path = "{% $item ? '/fine' : '/refused' %}"
    body = {
        "nodes": [
            {"id": "before", "type": "transform", "parameters": {"value": path}},
            {"id": "send", "type": "http_request", "parameters": {"url": url + "{% $nodes.before %}"}},
        ],
        "edges": [{"source": "before", "target": "send"}],
    }
    limits = {"max_concurrency": concurrency, "tolerated_failure_count": tolerated}
    return {"items": items, "body": body, **limits}


class Plan:
    """A graph whose edges lead upwards from the trigger 0, and what each node will choose."""

    def __init__(self, chance: random.Random, url: str) -> None:
        size = chance.randint(3, 9)
        self.chosen: list[tuple[str, ...]] = [("out",)]
        self.failing: list[int] = []
        self.nodes: list[JsonObject] = [{**HOOK, "id": "0"}]
        self.edges: list[tuple[int, str, int]] = []
        offered: list[tuple[str, ...]] = [("out",)]
        for number in range(1, size):
            kind, handles, chosen, can_fail = self._kind(chance, url)
            for source in {chance.randrange(number) for _ in range(chance.randint(1, 3))}:
                if offered[source]:
                    self.edges.append((source, chance.choice(offered[source]), number))
            if not any(target == number for *_, target in self.edges):
                self.edges.append((0, "out", number))
            count = sum(target == number for *_, target in self.edges)
            join = chance.choice(["any", "any", "all", {"n": chance.randint(1, count)}])
            self.nodes.append({"id": str(number), "join": join, **kind})
            self.chosen.append(chosen)
            offered.append(handles)
            if can_fail:
                self.failing.append(number)

    def _kind(self, chance: random.Random, url: str) -> tuple[JsonObject, tuple[str, ...], tuple[str, ...], bool]:
        what = chance.choice(["transform", "switch", "call", "fail", "refused", "map", "map"])
        on_error = chance.choice(["fail", "continue", "route"])
        after_error = {"fail": (), "continue": ("out",), "route": ("error",)}[on_error]
        if what == "switch":
            chosen = tuple(handle for handle in HANDLES if chance.random() < 0.5)
            cases = [{"when": handle in chosen, "handle": handle} for handle in HANDLES]
            parameters = {"mode": "all", "cases": cases}
            return {"type": "switch", "parameters": parameters}, (*HANDLES, "default"), chosen or ("default",), False
        if what == "transform":
            parameters = {"value": "{% $sum([1..10]) %}"}
            return {"type": "transform", "parameters": parameters}, ("out",), ("out",), False
        if what == "fail":
            kind = {"type": "fail", "on_error": on_error}
            return kind, ("error",) if on_error == "route" else (), after_error, on_error == "fail"
        if what == "map":
            items = [chance.random() < 0.85 for _ in range(chance.randint(0, 5))]
            tolerated = chance.randint(0, 1)
            fails = items.count(False) > tolerated
            kind = {
                "type": "map",
                "parameters": _map(url, items, tolerated, chance.randint(1, 3)),
                "on_error": on_error,
            }
            return kind, handles_of(on_error), after_error if fails else ("out",), fails and on_error == "fail"
        path = "/refused" if what == "refused" else "/fine"
        kind = {"type": "http_request", "parameters": {"url": url + path}, "on_error": on_error}
        fails = what == "refused"
        return kind, handles_of(on_error), after_error if fails else ("out",), fails and on_error == "fail"

    def mend(self) -> None:
        """From now on, the effects that had failed the run are fine."""
        for number in self.failing[:]:
            if self.nodes[number]["type"] in ("http_request", "map"):
                self.chosen[number] = ("out",)
                self.failing.remove(number)

    def fates(self) -> dict[str, bool]:
        """Whether each node runs, by counting live edges in order."""
        live: dict[int, tuple[str, ...]] = {0: ("out",)}
        runs = {"0": True}
        for number in range(1, len(self.nodes)):
            incoming = [(source, handle) for source, handle, target in self.edges if target == number]
            count = sum(handle in live[source] for source, handle in incoming)
            join = self.nodes[number]["join"]
            needed = {"any": 1, "all": len(incoming)}[join] if isinstance(join, str) else join["n"]
            runs[str(number)] = count > 0 and count >= needed
            live[number] = self.chosen[number] if runs[str(number)] else ()
        return runs


@pytest.mark.parametrize("seed", range(24))
async def test_random_run_ends_as_the_model_says(harness: EngineHarness, sink: Sink, seed: int) -> None:
    """Two drains are cut off at random; the third finishes. Same fates, each node settled once, one key per effect, no
    effect before all that came before it is durable, and every fact can be derived again."""
    chance = random.Random(seed)
    durable_at = harness.services.__dict__["events"] = Witness(harness.services.database)
    plan = Plan(chance, sink.url)
    sink.pause_seconds = 0.01
    sink.answer = lambda request: (404 if request.path == "/refused" else 200, {}, b"{}")
    job = harness.delivery(await _publish(harness, plan))
    for name in ("first", "second"):
        run = asyncio.create_task(harness.new_engine(name).execute(job, is_first_claim=name == "first"))
        await asyncio.sleep(chance.random() * 0.05)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    await harness.new_engine("third").execute(job, is_first_claim=False)

    state, runs = await harness.state(job), plan.fates()
    assert {node_id: record.status != "skipped" for node_id, record in state.nodes.items()} == runs
    failed_by = [str(number) for number in plan.failing if runs[str(number)]]
    assert (state.status, (state.error or {}).get("node_id")) == (
        ("failed", failed_by[0]) if failed_by else ("succeeded", None)
    )
    facts = [event for event in await harness.events(job) if event.event_type in SETTLING]
    settled = Counter((event.payload["node_id"], event.payload.get("index")) for event in facts)
    assert set(settled.values()) == {1}
    assert sorted(path for path, index in settled if index is None and "[" not in path) == sorted(
        node_id for node_id in runs if node_id != "0"
    )
    started = [event.payload["node_id"] for event in await harness.events(job) if event.event_type == "NodeStarted"]
    assert len({request.key for request in sink.received}) == len(set(started))
    await check_durability(harness, sink, job, durable_at.moments)
    assert (await harness.verify(job))["first_difference"] is None


class Witness(EventStoreRepository):
    """The event store, and by event id when each was durable as far as the engine could know."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.moments: dict[str, float] = {}

    async def append(self, appends: Sequence[Append], *lines: Any) -> list[Appended]:
        appended = await super().append(appends, *lines)
        now = time.time()
        self.moments.update((event.id, now) for append in appends for event in append.events)
        return appended


async def check_durability(harness: EngineHarness, sink: Sink, job: ExecutionJob, durable_at: dict[str, float]) -> None:
    """Whatever stands before an effect's start in the stream, and the start itself, was durable when it arrived."""
    events = await harness.events(job)
    for position, event in enumerate(events):
        if event.event_type == "NodeStarted":
            ready_at = max(durable_at[one.id] for one in events[: position + 1])
            arrivals = [one.arrived_at for one in sink.received if one.key == event.payload["idempotency_key"]]
            assert all(arrived_at >= ready_at for arrived_at in arrivals), event.payload["node_id"]


@pytest.mark.parametrize("seed", range(100, 124))
async def test_redriven_run_ends_as_if_nothing_had_been_wrong(harness: EngineHarness, sink: Sink, seed: int) -> None:
    """Once what was refused is not any more, a redriven run ends with the fates of a run that had met no refusal, and
    nothing that had been done is sent again."""
    plan = Plan(random.Random(seed), sink.url)
    sink.answer = lambda request: (404 if request.path == "/refused" else 200, {}, b"{}")
    job = harness.delivery(await _publish(harness, plan))
    before = await harness.execute(job)
    done = {request.key for request in sink.received if request.path == "/fine"}
    if before.status == "succeeded":
        return
    sent = len(sink.received)
    sink.answer = lambda _request: (200, {}, b"{}")
    state = await harness.redrive(job)
    plan.mend()
    runs = plan.fates()
    assert {node_id: record.status != "skipped" for node_id, record in state.nodes.items()} == runs
    failed_by = [str(number) for number in plan.failing if runs[str(number)]]
    assert (state.error or {}).get("node_id") == next(iter(failed_by), None)
    assert not done & {request.key for request in sink.received[sent:]}
    assert (await harness.verify(job))["first_difference"] is None


async def _publish(harness: EngineHarness, plan: Plan) -> str:
    return await harness.publish(plan.nodes, *(f"{source}.{handle}>{target}" for source, handle, target in plan.edges))


SETTLING = ("NodeSucceeded", "NodeFailed", "NodeSkipped", "ItemSucceeded", "ItemFailed")
