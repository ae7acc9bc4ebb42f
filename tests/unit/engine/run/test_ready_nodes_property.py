"""Random graphs with maps in them, random orders, random crashes: every run ends as a small model of its own says.

`make test ARGS="-k ready_nodes_property --hypothesis-profile=long"` tries 50,000 of each.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.execution.fold import apply, fold
from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.execution.node_readiness import outcome
from shared.domain.execution.state import ExecutionState
from shared.domain.workflow.graph_parser import parse_graph
from shared.engine.run.compiled_graph import CompiledGraph
from shared.engine.run.ready_nodes import ReadyNodes
from shared.engine.run.scopes import Scopes
from shared.events.codec import encode, event_type
from shared.events.envelope import RecordedEvent
from shared.events.execution import ExecutionFailed, ExecutionQueued, ExecutionStarted
from shared.events.facts import ExecutionFact
from shared.events.node import (
    ItemFailed,
    ItemSucceeded,
    MapStarted,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
)
from shared.json_types import JsonObject

HANDLES = ("out", "true", "false", "error")
AT = "2026-11-01T00:00:00.000000Z"


def examples(count: int) -> int:
    """So many, or as many as the profile says where that is more."""
    return max(count, settings().max_examples)


@dataclass(frozen=True)
class Step:
    """What a node will do when it runs: choose these handles, or fail in this way; an effect starts first."""

    handles: tuple[str, ...]
    fails: str | None
    is_effect: bool


@dataclass(frozen=True)
class MapPlan:
    """A map over so many items, for each of which the body's nodes do something else."""

    bodies: tuple[Plan, ...]
    concurrency: int
    tolerated: int | None
    enough: int | None
    on_error: str


@dataclass(frozen=True)
class Plan:
    """A graph whose nodes are numbered so that edges lead upwards, and what each node will do."""

    edges: tuple[tuple[int, str, int], ...]
    joins: tuple[Any, ...]
    steps: tuple[Step | MapPlan, ...]

    def drawn(self) -> tuple[list[JsonObject], list[JsonObject]]:
        """The graph as a tenant would write it."""
        nodes = [self._node(number) for number in range(len(self.steps))]
        return nodes, [{"source": str(s), "source_handle": h, "target": str(t)} for s, h, t in self.edges]

    def _node(self, number: int) -> JsonObject:
        found: JsonObject = {"id": str(number), "join": self.joins[number]}
        step = self.steps[number]
        if isinstance(step, Step):
            return {**found, "type": "transform", "on_error": step.fails or "fail"}
        nodes, edges = step.bodies[0].drawn() if step.bodies else ([{"id": "0", "type": "transform"}], [])
        parameters = {"items": [], "body": {"nodes": nodes, "edges": edges}}
        return {**found, "type": "map", "on_error": step.on_error, "parameters": parameters}


steps = st.builds(
    Step,
    st.lists(st.sampled_from(HANDLES[:3]), unique=True).map(tuple),
    st.sampled_from([None, None, None, "fail", "continue", "route"]),
    st.booleans(),
)


@st.composite
def shapes(draw: st.DrawFn, smallest: int, largest: int) -> tuple[int, tuple[Any, ...], tuple[Any, ...]]:
    """How many nodes there are, their edges and their joins."""
    size = draw(st.integers(smallest, largest))
    edge = st.tuples(st.integers(0, size - 1), st.sampled_from(HANDLES), st.integers(0, size - 1))
    edges = draw(st.lists(edge.filter(lambda one: one[0] < one[2]), max_size=2 * size, unique=True)) if size > 1 else []
    joins = draw(st.lists(st.sampled_from(["any", "any", "all", {"n": 2}]), min_size=size, max_size=size))
    return size, tuple(edges), tuple(joins)


@st.composite
def maps(draw: st.DrawFn, depth: int, is_free: bool) -> MapPlan:
    """Maps of up to four items; with `is_free`, of those whose end depends on no order."""
    size, edges, joins = draw(shapes(1, 3))
    # Which nodes are maps is the body's, what they do is each item's own.
    inner = [depth < 2 and draw(st.integers(0, 7)) == 0 for _ in range(size)]
    forms = [draw(maps(depth + 1, is_free)) if is_map else None for is_map in inner]
    bodies = [
        Plan(edges, joins, tuple(draw(steps) if form is None else form for form in forms))
        for _ in range(draw(st.integers(0, 4)))
    ]
    enough = None if is_free else draw(st.sampled_from([None, None, 1, 2, 3]))
    # With both limits the order decides; what a map would have done that never ran could not be told.
    tolerated = None if enough and depth else draw(st.sampled_from([None, 0, 1, 4]))
    on_error = draw(st.sampled_from(["fail", "continue", "route"]))
    return MapPlan(tuple(bodies), draw(st.integers(1, 3)), tolerated, enough, on_error)


@st.composite
def plans(draw: st.DrawFn, is_free: bool = False) -> Plan:
    """Graphs of up to nine nodes, of which the first is the trigger and some are maps."""
    size, edges, joins = draw(shapes(2, 9))
    kinds = [draw(maps(0, is_free)) if n and draw(st.integers(0, 4)) == 0 else draw(steps) for n in range(size)]
    return Plan(edges, joins, tuple(kinds))


@dataclass(frozen=True)
class Ends:
    """How a graph's nodes end, as far as the model knows: a map whose end is a matter of order is left out with all
    that comes after it."""

    status: dict[str, str]
    handles: dict[int, tuple[str, ...]]
    fails: str | None


def model(plan: Plan, chosen_by_maps: dict[str, bool], prefix: str = "") -> Ends:
    """Each node's end, by the rule as it stands in one sentence: in order, count the live edges.

    `chosen_by_maps` says how the maps ended whose end the order decides.
    """
    chosen: dict[int, tuple[str, ...]] = {}
    status: dict[str, str] = {}
    fails = None
    for number, step in enumerate(plan.steps):
        path = f"{prefix}{number}"
        incoming = [(source, handle) for source, handle, target in plan.edges if target == number]
        live = [handle for source, handle in incoming if handle in chosen[source]]
        join = plan.joins[number]
        needed = {"any": 1, "all": len(incoming)}[join] if isinstance(join, str) else join["n"]
        is_root = not incoming and bool(prefix)
        if number == 0 and not prefix:
            chosen[number], status[path] = ("out",), "succeeded"
            continue
        if not is_root and (not live or len(live) < needed):
            chosen[number], status[path] = (), "skipped"
            continue
        if isinstance(step, MapPlan):
            is_success, handled = map_succeeds(step, chosen_by_maps, path), step.on_error
            handles: tuple[str, ...] = ("out",)
        else:
            is_success, handled, handles = step.fails is None, step.fails or "", step.handles
        if is_success:
            chosen[number], status[path] = handles, "succeeded"
        else:
            chosen[number] = {"fail": (), "continue": ("out",), "route": ("error",)}[handled]
            status[path] = "failed"
            fails = fails or (path if handled == "fail" else None)
    return Ends(status, chosen, fails)


def map_succeeds(step: MapPlan, chosen_by_maps: dict[str, bool], path: str) -> bool:
    """Whether a map succeeds when every item is run; where order decides, what it did."""
    bad = sum(model(body, chosen_by_maps, f"{path}[{i}].").fails is not None for i, body in enumerate(step.bodies))
    good = len(step.bodies) - bad
    if step.enough is None:
        return bad <= (step.tolerated or 0)
    if step.tolerated is None:
        return good >= step.enough
    may_succeed, may_fail = good >= step.enough, good < step.enough or bad > step.tolerated
    return chosen_by_maps[path] if may_succeed and may_fail else may_succeed


class World:
    """A run in a world where anything may finish next and the drain may die at any moment."""

    def __init__(self, plan: Plan, chance: random.Random) -> None:
        graph, problems = parse_graph(*plan.drawn())
        assert graph is not None, problems
        self.plan, self.body, self.chance = plan, CompiledGraph(graph), chance
        self.facts: list[ExecutionFact] = [ExecutionQueued("w", 1, {"type": "manual"}), ExecutionStarted(1, "0")]
        self.durable = 0
        self.map_ends: dict[str, bool] = {}

    def state(self) -> ExecutionState:
        """The run as a drain that has just been started reads it."""
        events = [
            RecordedEvent(str(i), "t", "e", "execution", i, i, event_type(fact), AT, encode(fact), {})
            for i, fact in enumerate(self.facts, 1)
        ]
        found = fold(events)
        assert found is not None
        return found

    def run(self) -> ExecutionState:
        """Lives through crashes until the run has ended."""
        frontier, ready = self._begin()
        while ready:
            if self.chance.random() < 0.1:
                # What was not durable is gone; so is everything that was under way.
                self.facts = self.facts[: max(2, self.chance.randint(self.durable, len(self.facts)))]
                frontier, ready = self._begin()
                continue
            path = self.chance.choice(sorted(ready))
            step = self.step(path)
            if isinstance(step, Step) and step.is_effect and path not in self._state.running:
                self.tell(NodeStarted(path, 1, "key", {}, 0))
                self.durable = len(self.facts)
                continue
            ready.discard(path)
            self.tell(self._result(path, step))
            ready.update(frontier.following([path]))
            self._check_concurrency(ready)
        self.tell(outcome(self.body.graph, self._state))
        return self._state

    def _begin(self) -> tuple[ReadyNodes, set[str]]:
        self._state = self.state()
        frontier = ReadyNodes(self._state, Scopes(self.body), self.tell, self._end_map)
        return frontier, {*self._state.running, *frontier.begun()}

    def _result(self, path: str, step: Step | MapPlan) -> ExecutionFact:
        if isinstance(step, MapPlan):
            limits = {"tolerated_failure_count": step.tolerated, "min_successful": step.enough}
            given = {name: limit for name, limit in limits.items() if limit is not None}
            items = list(range(len(step.bodies)))
            return MapStarted(path, 1, {"items": items, "max_concurrency": step.concurrency, **given}, 0, [])
        if step.fails:
            return NodeFailed(path, 1, {"code": "x", "message": path}, step.fails, 0)
        return NodeSucceeded(path, 1, path, list(step.handles), 0, [])

    def _end_map(self, path: str, is_success: bool) -> None:
        step = self.step(path)
        assert isinstance(step, MapPlan)
        self.map_ends[path] = is_success
        failed = NodeFailed(path, 1, {"code": "items_failed", "message": path}, step.on_error, 0)
        self.tell(NodeSucceeded(path, 1, None, ["out"], 0, []) if is_success else failed)

    def _check_concurrency(self, ready: set[str]) -> None:
        under_way: dict[str, set[int]] = {}
        for path in (*self._state.nodes, *ready):
            inner = path
            while prefix := split_path(inner)[0]:
                inner, index = item_of(prefix)
                under_way.setdefault(inner, set()).add(index)
        for path, indexes in under_way.items():
            step = self.step(path)
            assert isinstance(step, MapPlan)
            assert len(indexes) <= step.concurrency

    def step(self, path: str) -> Step | MapPlan:
        """What the node at a path does."""
        prefix, node_id = split_path(path)
        if not prefix:
            return self.plan.steps[int(node_id)]
        map_path, index = item_of(prefix)
        around = self.step(map_path)
        assert isinstance(around, MapPlan)
        return around.bodies[index].steps[int(node_id)]

    def tell(self, fact: ExecutionFact) -> None:
        """Records a fact."""
        self.facts.append(fact)
        apply(self._state, fact, AT)


def settled(world: World) -> list[str]:
    """The path of each node or item as often as it was settled."""
    return [
        f"{fact.node_id}[{fact.index}]" if isinstance(fact, (ItemSucceeded, ItemFailed)) else fact.node_id
        for fact in world.facts
        if isinstance(fact, (NodeSucceeded, NodeFailed, NodeSkipped, ItemSucceeded, ItemFailed))
    ]


def check_items(world: World, path: str) -> Iterator[str]:
    """The paths within a map that were settled, all of them as the model says."""
    step = world.step(path)
    assert isinstance(step, MapPlan)
    ends = {
        fact.index: fact
        for fact in world.facts
        if isinstance(fact, (ItemSucceeded, ItemFailed)) and fact.node_id == path
    }
    good = sum(isinstance(fact, ItemSucceeded) for fact in ends.values())
    if step.enough is None and world.map_ends[path]:
        assert len(ends) == len(step.bodies)
    elif len(ends) < len(step.bodies):
        # Items are left out only when nothing depends on them any more.
        limit = step.tolerated if step.tolerated is not None else len(step.bodies) - (step.enough or len(step.bodies))
        assert good >= (step.enough or 99) or len(ends) - good > limit
    for index, fact in ends.items():
        prefix = f"{path}[{index}]."
        expected = model(step.bodies[index], world.map_ends, prefix)
        assert isinstance(fact, ItemFailed) == (expected.fails is not None)
        if isinstance(fact, ItemFailed):
            assert fact.error["node_id"] == expected.fails
        yield f"{path}[{index}]"
        yield from check_nodes(world, step.bodies[index], expected)


def check_nodes(world: World, plan: Plan, expected: Ends) -> Iterator[str]:
    """The paths that were settled according to the model, those within maps included."""
    for path, status in expected.status.items():
        if path != "0":
            yield path
        if status != "skipped" and isinstance(plan.steps[int(split_path(path)[1])], MapPlan):
            yield from check_items(world, path)


@settings(max_examples=examples(2_000), deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_run_ends_as_the_model_says_whatever_the_order(plan: Plan, seed: int) -> None:
    """Every node and every item is settled exactly once, with the model's fate; the run fails exactly when a node
    failed it."""
    world = World(plan, random.Random(seed))
    state = world.run()
    expected = model(plan, world.map_ends)
    assert sorted(settled(world)) == sorted(check_nodes(world, plan, expected))
    # What went on within items is forgotten when they end.
    assert {path: record.status for path, record in state.nodes.items()} == expected.status
    if expected.fails is None:
        assert state.error is None
    else:
        code = "items_failed" if isinstance(plan.steps[int(expected.fails)], MapPlan) else "x"
        assert state.error == {"code": code, "message": expected.fails, "node_id": expected.fails}
    assert world.state() == state


@settings(max_examples=examples(500), deadline=None)
@given(plans(is_free=True), st.integers(0, 2**32), st.integers(0, 2**32))
def test_two_orders_end_in_the_same_state(plan: Plan, one: int, other: int) -> None:
    """The output does not depend on who was faster or how often the drain died."""
    first, second = World(plan, random.Random(one)).run(), World(plan, random.Random(other)).run()
    assert (first.status, first.output, first.error) == (second.status, second.output, second.error)


@settings(max_examples=examples(500), deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_fold_of_any_prefix_is_where_the_run_was(plan: Plan, seed: int) -> None:
    """A run can be shown as it was after each of its events; an ended run takes no more."""
    world = World(plan, random.Random(seed))
    world.run()
    whole = world.facts
    for length in range(2, len(whole), 1 + len(whole) // 20):
        world.facts = whole[:length]
        assert not world.state().is_terminal
    assert isinstance(whole[-1], ExecutionFailed) or type(whole[-1]).__name__ == "ExecutionSucceeded"
