"""Random graphs, random orders, random crashes: every run ends as a small model of its own says it must."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.execution import ExecutionState, fold
from shared.domain.fates import decide, outcome
from shared.domain.graph import Graph, parse_graph
from shared.events.codec import ExecutionFact, encode, event_type
from shared.events.execution import (
    ExecutionFailed,
    ExecutionQueued,
    ExecutionStarted,
    NodeFailed,
    NodeSkipped,
    NodeStarted,
    NodeSucceeded,
)
from shared.events.record import RecordedEvent

HANDLES = ("out", "true", "false", "error")
AT = "2026-11-01T00:00:00.000000Z"


@dataclass(frozen=True)
class Step:
    """What a node will do when it runs: choose these handles, or fail in this way; an effect starts first."""

    handles: tuple[str, ...]
    fails: str | None
    is_effect: bool


@dataclass(frozen=True)
class Plan:
    """A graph whose nodes are numbered so that edges lead upwards, and what each node will do."""

    edges: tuple[tuple[int, str, int], ...]
    joins: tuple[Any, ...]
    steps: tuple[Step, ...]

    def graph(self) -> Graph:
        """The graph as the engine sees it; node 0 is the trigger."""
        nodes = [{"id": str(i), "type": "transform", "join": join} for i, join in enumerate(self.joins)]
        drawn = [{"source": str(s), "source_handle": h, "target": str(t)} for s, h, t in self.edges]
        found, problems = parse_graph(nodes, drawn)
        assert found is not None, problems
        return found


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Graphs of up to nine nodes."""
    size = draw(st.integers(2, 9))
    edges = draw(
        st.lists(
            st.tuples(st.integers(0, size - 2), st.sampled_from(HANDLES), st.integers(1, size - 1)).filter(
                lambda edge: edge[0] < edge[2]
            ),
            max_size=20,
            unique=True,
        )
    )
    joins = draw(st.lists(st.sampled_from(["any", "any", "all", {"n": 2}]), min_size=size, max_size=size))
    steps = draw(
        st.lists(
            st.builds(
                Step,
                st.lists(st.sampled_from(HANDLES[:3]), unique=True).map(tuple),
                st.sampled_from([None, None, None, "fail", "continue", "route"]),
                st.booleans(),
            ),
            min_size=size,
            max_size=size,
        )
    )
    return Plan(tuple(edges), tuple(joins), tuple(steps))


def model(plan: Plan) -> dict[str, str]:
    """Each node's end, by the rule as it stands in one sentence: in order, count the live edges."""
    chosen: dict[int, tuple[str, ...]] = {0: ("out",)}
    ends = {"0": "succeeded"}
    for number in range(1, len(plan.steps)):
        incoming = [(source, handle) for source, handle, target in plan.edges if target == number]
        live = [handle for source, handle in incoming if handle in chosen[source]]
        join = plan.joins[number]
        needed = {"any": 1, "all": len(incoming)}[join] if isinstance(join, str) else join["n"]
        step = plan.steps[number]
        if not live or len(live) < needed:
            chosen[number], ends[str(number)] = (), "skipped"
        elif step.fails:
            chosen[number] = {"fail": (), "continue": ("out",), "route": ("error",)}[step.fails]
            ends[str(number)] = "failed"
        else:
            chosen[number], ends[str(number)] = step.handles, "succeeded"
    return ends


class World:
    """A run in a world where anything may finish next and the drain may die at any moment."""

    def __init__(self, plan: Plan, chance: random.Random) -> None:
        self.plan, self.graph, self.chance = plan, plan.graph(), chance
        self.facts: list[ExecutionFact] = [ExecutionQueued("w", 1, {"type": "manual"}), ExecutionStarted(1, "0")]
        self.durable = 0
        self.settled_at: dict[str, int] = {}
        self.effects: list[tuple[str, int]] = []

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
        state, under_way = self.state(), set[str]()
        while True:
            if self.chance.random() < 0.15:
                # What was not durable is gone; so is everything that was under way.
                self.facts = self.facts[: max(2, self.chance.randint(self.durable, len(self.facts)))]
                state, under_way = self.state(), set()
            under_way |= state.running
            ready = {node_id for node_id, fate in self.decided(state) if fate == "ready"} | under_way
            if not ready:
                self.tell(state, outcome(self.graph, state))
                return state
            node_id = self.chance.choice(sorted(ready))
            step = self.plan.steps[int(node_id)]
            if step.is_effect and node_id not in under_way:
                self.tell(state, NodeStarted(node_id, 1, "key", {}, 0))
                self.durable = len(self.facts)
                under_way.add(node_id)
                self.effects.append((node_id, self.durable))
                continue
            under_way.discard(node_id)
            fact: ExecutionFact = NodeSucceeded(node_id, 1, node_id, list(step.handles), 0, [])
            if step.fails:
                fact = NodeFailed(node_id, 1, {"code": "x", "message": node_id}, step.fails, 0)
            self.tell(state, fact)

    def decided(self, state: ExecutionState) -> list[tuple[str, str]]:
        """What is ready, once what is skipped has been recorded as such."""
        while True:
            decided = decide(self.graph, state)
            skipped = [node_id for node_id, fate in decided if fate == "skipped"]
            if not skipped:
                return list(decided)
            for node_id in skipped:
                self.tell(state, NodeSkipped(node_id))

    def tell(self, state: ExecutionState, fact: ExecutionFact) -> None:
        """Records a fact."""
        self.facts.append(fact)
        state.apply(fact, AT)


@settings(max_examples=1_000, deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_run_ends_as_the_model_says_whatever_the_order(plan: Plan, seed: int) -> None:
    """Every node is settled exactly once, with the model's fate; the run fails exactly when a node failed it."""
    world = World(plan, random.Random(seed))
    state = world.run()
    settled = [fact.node_id for fact in world.facts if isinstance(fact, (NodeSucceeded, NodeFailed, NodeSkipped))]
    expected = model(plan)
    assert sorted(settled) == sorted(expected.keys() - {"0"})
    assert {node_id: record.status for node_id, record in state.nodes.items()} == expected
    failing = [n for n, end in expected.items() if end == "failed" and plan.steps[int(n)].fails == "fail"]
    assert state.error == ({"code": "x", "message": failing[0], "node_id": failing[0]} if failing else None)
    assert world.state() == state


@settings(max_examples=300, deadline=None)
@given(plans(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_two_orders_end_in_the_same_state(plan: Plan, one: int, other: int) -> None:
    """The output does not depend on who was faster or how often the drain died."""
    first, second = World(plan, random.Random(one)).run(), World(plan, random.Random(other)).run()
    assert (first.status, first.output, first.error) == (second.status, second.output, second.error)


@settings(max_examples=300, deadline=None)
@given(plans(), st.integers(0, 2**32))
def test_fold_of_any_prefix_is_where_the_run_was(plan: Plan, seed: int) -> None:
    """A run can be shown as it was after each of its events; an ended run takes no more."""
    world = World(plan, random.Random(seed))
    world.run()
    whole = world.facts
    for length in range(2, len(whole)):
        world.facts = whole[:length]
        assert not world.state().is_terminal
    assert isinstance(whole[-1], ExecutionFailed) or type(whole[-1]).__name__ == "ExecutionSucceeded"
