"""The nodes of a dry run: pure ones compute, all others take their results from a recorded run.

No request leaves and no wait takes time. Each node sees the clock that it saw in the recorded run, so that every
difference comes from the workflow's version.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.domain.execution.fold import apply, execution_fact
from shared.domain.execution.node_readiness import outcome
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.compiled_graph import CompiledGraph, CompiledWorkflow
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.ready_nodes import ReadyNodes
from shared.engine.run.scopes import Step
from shared.events.envelope import RecordedEvent
from shared.events.node import MapStarted, NodeFailed, NodeStarted, NodeSucceeded, NodeWaiting
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Call, Effect, Map, NodeError, Parameters, Pure, Trigger, dispatch

if TYPE_CHECKING:
    from shared.events.facts import ExecutionFact


# The end of the wait of a node for which nothing is recorded.
NEVER = timestamp(253_402_300_799)
# In a dry run nothing is called; a version would be chosen when it is.
UNKNOWN_VERSION = 0
# The indexes in the path of a node in items: all items of a map have the same nodes.
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """How a node ended in the recorded run, and the clock (Unix milliseconds) that its expressions saw."""

    fact: NodeSucceeded | NodeFailed
    evaluated_at: int


class RecordedOutcomes:
    """How the nodes of a recorded run ended, by their paths."""

    def __init__(self, events: Iterable[RecordedEvent], program: CompiledWorkflow | None) -> None:
        """`program` is the recorded run's; without it, no node has an outcome."""
        self._outcomes: dict[str, RecordedOutcome] = {}
        self._types = dict(_types(program.root)) if program is not None else {}
        began: dict[str, int] = {}
        for event in events:
            fact, _ = execution_fact(event)
            # Expressions were evaluated when the node began, which may be long before it ended.
            if isinstance(fact, (NodeStarted, NodeWaiting, MapStarted)):
                began[fact.node_id] = fact.evaluated_at
            elif isinstance(fact, (NodeSucceeded, NodeFailed)):
                self._outcomes[fact.node_id] = RecordedOutcome(fact, began.get(fact.node_id, fact.evaluated_at))

    def of(self, step: Step) -> RecordedOutcome | None:
        """The recorded outcome of a node; `None` where it never ended, or was of another type."""
        if self._types.get(_INDEX.sub("", step.path)) != step.compiled.node.type:
            return None
        return self._outcomes.get(step.path)


class DryRunNodes:
    """One run's nodes. `inputs` resolves their parameters, as in a real run."""

    def __init__(
        self,
        state: ExecutionState,
        program: CompiledWorkflow,
        evaluator: ExpressionEvaluator,
        outcomes: RecordedOutcomes,
    ) -> None:
        """`state` is that of a run which has started; `outcomes` are the recorded run's."""
        self._state, self._program, self._outcomes = state, program, outcomes
        self.inputs = NodeInputResolver(state, program.root, evaluator)

    def close(self) -> None:
        """Makes the expressions' process forget the run's data."""
        self.inputs.close()

    async def run(self) -> None:
        """Runs until the end, or until only nodes are left that wait because nothing is recorded for them."""
        ready_nodes = ReadyNodes(self._state, self.inputs.scopes, self.record, self._end_map)
        ready = ready_nodes.begun()
        while ready:
            # One after the other: nothing takes time here, and the order of facts is the same in every dry run.
            for path in ready:
                await self._settle(self.inputs.scopes.step(path))
            ready = ready_nodes.following(ready)
        if not self._state.waiting:
            self.record(outcome(self._program.root.graph, self._state))

    async def _settle(self, step: Step) -> None:
        """Settles the node, or opens a map; a node for which nothing is recorded is left waiting."""
        recorded = self._outcomes.of(step)
        evaluated_at = recorded.evaluated_at if recorded is not None else _now()
        try:
            await self._attempt(step, recorded, evaluated_at)
        except NodeError as error:
            self._fail(step, error)

    async def _attempt(self, step: Step, recorded: RecordedOutcome | None, evaluated_at: int) -> None:
        if step.compiled.node.disabled:
            self.record(self.inputs.success(step, 1, self.inputs.passed_on(step), evaluated_at, []))
            return
        resolved, undefined = await self.inputs.fill(step, evaluated_at)
        dispatch(step.compiled.type.kind, _DryAttempt(self, step, recorded, resolved, undefined, evaluated_at))

    def _end_map(self, path: str, is_success: bool) -> None:
        step = self.inputs.scopes.step(path)
        try:
            self.record(self.inputs.map_success(step, 1, is_success))
        except NodeError as error:
            self._fail(step, error)

    def _fail(self, step: Step, error: NodeError) -> None:
        # No retry: there is no recorded result for another attempt.
        self.record(NodeFailed(step.path, 1, error.as_json(), step.compiled.node.on_error, _now()))

    def record(self, fact: ExecutionFact) -> None:
        """Applies a fact to the state; nothing is stored."""
        apply(self._state, fact, timestamp(time.time()))


@dataclass(frozen=True, slots=True)
class _DryAttempt:
    """The only attempt of a node whose parameters are resolved; its methods are a `NodeHandler`'s. A node that fails
    raises `NodeError`."""

    nodes: DryRunNodes
    step: Step
    recorded: RecordedOutcome | None
    resolved: JsonObject
    undefined: list[str]
    evaluated_at: int

    def trigger(self, _kind: Trigger) -> None:
        self._parse()
        self._take_recorded()

    def pure(self, kind: Pure[Parameters]) -> None:
        """Time passes at once; a signal is taken from the recorded run."""
        parameters = self._parse()
        wait = kind.wait(parameters, self.evaluated_at / 1000)
        if wait is not None and wait.signal is not None:
            self._take_recorded()
            return
        step, inputs = self.step, self.nodes.inputs
        completed = inputs.compute(step, kind, parameters, inputs.inputs(step))
        self.nodes.record(inputs.success(step, 1, completed, self.evaluated_at, self.undefined))

    def effect(self, _kind: Effect[Parameters]) -> None:
        # Secrets and the URLs of signals are not read here: the placeholders in their place need not fit.
        if not self.step.compiled.is_disclosing:
            self._parse()
        path = self.step.path
        self.nodes.record(NodeStarted(path, 1, self.nodes.inputs.effect_key(path), self.resolved, self.evaluated_at))
        self._take_recorded()

    def call(self, _kind: Call[Parameters]) -> None:
        self._parse()
        self.nodes.record(NodeStarted(self.step.path, 1, None, self.resolved, self.evaluated_at, UNKNOWN_VERSION))
        self._take_recorded()

    def map(self, _kind: Map[Parameters]) -> None:
        self._parse()
        completed = self.step.compiled.type.complete(self.resolved)
        self.nodes.record(MapStarted(self.step.path, 1, completed, self.evaluated_at, self.undefined))

    def _parse(self) -> Parameters:
        return self.step.compiled.type.parse(self.resolved)

    def _take_recorded(self) -> None:
        """Records how the node ended in the recorded run; one that did not end there is left waiting."""
        step, recorded = self.step, self.recorded
        if recorded is None:
            self.nodes.record(NodeWaiting(step.path, 1, NEVER, self.resolved, self.evaluated_at, self.undefined))
        elif isinstance(recorded.fact, NodeFailed):
            self.nodes.record(replace(recorded.fact, handled=step.compiled.node.on_error))
        else:
            self.nodes.record(replace(recorded.fact, undefined=self.undefined))


def _now() -> int:
    return int(time.time() * 1000)


def _types(graph: CompiledGraph, prefix: str = "") -> Iterable[tuple[str, str]]:
    for node_id, compiled in graph.nodes.items():
        yield prefix + node_id, compiled.node.type
        if compiled.body is not None:
            yield from _types(compiled.body, f"{prefix}{node_id}.")
