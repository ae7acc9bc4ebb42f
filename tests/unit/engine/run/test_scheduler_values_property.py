"""Random workflows over random values, with waits, signals and crashes: every run follows from its facts alone.

`make test ARGS="-k values_property --hypothesis-profile=long"` tries 50,000.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.execution.fold import fold
from shared.domain.execution.map_record import MapItems
from shared.domain.execution.node_record import NodeRecord
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.child_runs import ChildRuns, RunCalls
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.run.completion import RunCompletion
from shared.engine.run.graph_cache import GraphCache
from shared.engine.run.journal import Journal
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.node_runner import NodeRunner
from shared.engine.run.recorder import Recorder
from shared.engine.run.scheduler import NodeScheduler
from shared.engine.verify.verification import first_difference
from shared.events.codec import new_event
from shared.events.execution import ExecutionQueued, ExecutionStarted, SignalReceived
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.nodes.node_kinds import EffectPermissions
from shared.platform.runtime import run
from shared.repositories.append import Append
from shared.repositories.event_store import EventStoreRepository
from tests.unit.engine.memory_store import MemoryStore
from tests.unit.engine.run.test_ready_nodes_property import examples

START = 1_800_000_000.0
WAIT_SECONDS = 3600
# How far the clock has gone on whenever somebody looks.
TICK_SECONDS = 0.0007
RETRY = [{"errors": ["all"], "max_attempts": 3, "initial_interval_seconds": 0.001}]
# Each is given a path for P: to a value, or nowhere.
EXPRESSIONS = (
    "{% P %}",
    "{% $keys(P) %}",
    "{% $each(P, function($v, $k) { $k & '=' & $string($v) }) %}",
    "{% $spread(P) %}",
    "{% $string(P) %}",
    "{% P.* %}",
    "{% $string(P.**) %}",
    "{% $merge([P, {'bb': 1.0, 'a': 2}]) %}",
    "{% $merge($spread(P)) %}",
    "{% $sort($keys(P)) %}",
    "{% $sift(P, function($v, $k) { $k != 'a' }) %}",
    "{% $map(P.*, function($v) { $string($v) }) %}",
    "{% $reduce(P.*, function($one, $other) { $string($one) & $string($other) }) %}",
    "{% {'z': P, 'a': 1.0, 'mm': P.a} %}",
    "{% $shuffle($keys(P)) %}",
    "{% $count(P.*) > 2 ? P : [P, $random()] %}",
    "{% P.a + 1 %}",
    "{% P{$string($): $count($)} %}",
    "<{% P %}|{% P.bb %}>",
    "{% $millis() % 3 = 0 ? $error('now and then') : $millis() %}",
    "{% $toMillis($now()) % 2 = 0 ? [P, 1] : {'at': $now()} %}",
    {"z": "{% P %}", "a": ["{% $keys(P)[0] %}", 1.0, {"y": 1, "x": "{% P.* %}"}]},
)
numbers = st.sampled_from([0, 1, 1.0, -0.0, 1e22, 10**22, 2**53 + 1, 12345678901234567890, 1e-7, 0.1, -1.5, 1e300])
names = st.sampled_from(["a", "bb", "b", "zzz", "Z", "ü", "10", "2", "", "é", "😀", "\x00"])
texts = st.sampled_from(["", "a", "ü😀", "\x00", "\ud800", '"\\', "{% x %}", "x" * 9_000])
scalars = st.none() | st.booleans() | numbers | texts
objects = st.dictionaries(names, scalars | st.lists(numbers, max_size=3), min_size=2, max_size=6)
values = st.recursive(objects, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner), max_leaves=6)


@st.composite
def workflows(draw: st.DrawFn) -> JsonObject:
    """A row of `workflow_versions`: up to seven nodes behind a trigger, each after one or two before it."""
    size = draw(st.integers(1, 7))
    nodes: list[JsonObject] = [{"id": "n0", "type": "webhook_trigger"}]
    edges = []
    for number in range(1, size + 1):
        sources = draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=2))
        paths = ["$trigger.body", "$input", *(f"$nodes.n{source}" for source in sources)]
        nodes.append({"id": f"n{number}", "on_error": "continue", **draw(steps(paths))})
        edges += [{"source": f"n{source}", "target": f"n{number}"} for source in sorted(sources)]
    return {"workflow_id": "w", "version": 1, "nodes": nodes, "edges": edges, "settings": {}}


@st.composite
def steps(draw: st.DrawFn, paths: list[str]) -> JsonObject:
    """One node, whose expressions read some of these paths."""
    kind = draw(st.sampled_from(["transform"] * 6 + ["merge", "merge", "delay", "signal", "map", "disabled"]))
    if kind == "merge":
        return {"type": "merge", "parameters": {"mode": draw(st.sampled_from(["list", "object", "first"]))}}
    if kind == "delay":
        return {"type": "delay", "parameters": {"seconds": WAIT_SECONDS}}
    if kind == "signal":
        return {"type": "wait_for_signal", "parameters": {"name": "go"}}
    if kind == "map":
        inner = [{"id": "m", "type": "transform", "parameters": {"value": draw(expressions([*paths, "$item"]))}}]
        items = draw(st.sampled_from(["{% $spread(P) %}", "{% P.* %}", "{% [P, 1] %}"]))
        return {"type": "map", "parameters": {"items": _over(items, draw, paths), "body": {"nodes": inner}}}
    node = {"type": "transform", "parameters": {"value": draw(expressions(paths))}}
    if draw(st.integers(0, 9)) == 0:
        node["retry"] = RETRY
    return {**node, "disabled": True} if kind == "disabled" else node


@st.composite
def expressions(draw: st.DrawFn, paths: list[str]) -> Any:
    """A parameter with an expression."""
    return _over(draw(st.sampled_from(EXPRESSIONS)), draw, paths)


def _over(expression: Any, draw: st.DrawFn, paths: list[str]) -> Any:
    return json.loads(json.dumps(expression).replace("P", draw(st.sampled_from(paths))))


@pytest.fixture(scope="module")
def guard() -> Iterator[ExpressionEvaluator]:
    """A child process for all examples."""
    guard = ExpressionEvaluator()
    yield guard
    run(guard.close())


class World:
    """One run, in the hands of drains that leave it, forget it and die."""

    def __init__(self, row: JsonObject, guard: ExpressionEvaluator, chance: random.Random) -> None:
        self.id, self.program, self.guard, self.chance = new_id(), CompiledWorkflow.from_row(row), guard, chance
        self.store = MemoryStore()
        self.events, self.now = EventStoreRepository(self.store), START

    async def live(self, body: Any, payload: Any) -> None:
        """Begins the run and goes on with it until it has ended."""
        recorder = self._recorder(ExecutionState(self.id, "t"))
        recorder.record(ExecutionQueued("w", 1, {"type": "webhook", "body": body, "headers": {}, "method": "POST"}))
        recorder.record(ExecutionStarted(1, "n0"))
        while not recorder.state.is_terminal:
            await self._drive(recorder)
            state = await self._folded()
            assert exactly(recorder.state) == exactly(state)
            if self.chance.random() < 0.3:
                # The drain has died before all of that was durable.
                stream = self.store.streams[self.id]
                del stream[self.chance.randint(2, len(stream)) :]
                recorder = self._recorder(await self._folded())
                continue
            if state.is_terminal:
                return
            self.now += WAIT_SECONDS + 1
            if any(record.signal for record in state.nodes.values() if record.status == "waiting"):
                await self._signal(payload)
            # Another drain, which reads what is stored; or this one, whose state is what it was.
            is_kept = recorder.state.stream_version == len(self.store.streams[self.id]) and self.chance.random() < 0.5
            recorder = self._recorder(recorder.state if is_kept else await self._folded())

    def _recorder(self, state: ExecutionState) -> Recorder:
        self.journal = Journal(self.events)
        return Recorder(state, self.events, self.journal, "drain:test", self._clock)

    def _clock(self) -> float:
        self.now += TICK_SECONDS
        return self.now

    async def _folded(self) -> ExecutionState:
        state = fold(await self.events.read_all("t", self.id))
        assert state is not None
        return state

    async def _drive(self, recorder: Recorder) -> None:
        # No node here calls a workflow.
        graphs = cast("GraphCache", None)
        runs = ChildRuns(self.events, self.journal, graphs, "drain:test", self._clock, None)
        calls, completion = RunCalls(recorder, runs), RunCompletion(recorder, self.program.settings, runs)
        inputs = NodeInputResolver(recorder.state, self.program.root, self.guard)
        runner = NodeRunner(recorder, inputs, calls, EffectPermissions(), self.guard.turns)
        try:
            scheduler = NodeScheduler(recorder, self.program.root.graph, inputs.scopes, runner, calls, completion)
            await scheduler.run_until_blocked()
        finally:
            inputs.close()

    async def _signal(self, payload: Any) -> None:
        version = len(self.store.streams[self.id])
        event = new_event(new_id(), SignalReceived("go", payload), timestamp(self.now), {})
        await self.events.append_one(Append("t", self.id, "execution", version, (event,)))


def exactly(state: ExecutionState) -> dict[str, str]:
    """All values of a run with the order of their keys, and 1 apart from 1.0."""
    recorded: JsonObject = {path: _exactly(record) for path, record in state.nodes.items()}
    recorded |= {"": [state.phase, state.trigger, state.output, state.error]}
    return {name: json.dumps(value) for name, value in recorded.items()}


def _exactly(record: NodeRecord) -> list[Any]:
    items = record.items or MapItems([])
    of_items = [list(items.values), sorted(items.outputs.items()), sorted(items.errors.items())]
    ends = [record.status, list(record.handles), list(record.undefined), record.evaluated_at]
    return [*ends, record.output, record.parameters, record.error, *of_items]


@pytest.mark.slow
@settings(max_examples=examples(2_000), deadline=None)
@given(workflows(), values, values, st.integers(0, 2**32))
def test_run_follows_from_its_facts(
    guard: ExpressionEvaluator, workflow: JsonObject, body: Any, payload: Any, seed: int
) -> None:
    """Whatever the values and however often the run was put down: what the drain has at hand is what the facts say, and
    the facts can be derived again."""
    world = World(workflow, guard, random.Random(seed))

    async def told() -> None:
        await world.live(body, payload)
        events = await world.events.read_all("t", world.id)
        difference = await first_difference(events, world.program, guard)
        assert difference is None, difference.as_json()

    run(told())
