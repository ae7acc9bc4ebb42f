"""The nodes of a run that is only tried: pure ones run, and what another run recorded answers for all others.

Nothing leaves and nothing is waited for. Each node sees the clock that it saw in the recorded run, so that what differs
is the workflow's doing.
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
from shared.engine.run.node_inputs import NodeInputResolver, items_failed
from shared.engine.run.ready_nodes import ReadyNodes
from shared.engine.run.scopes import Step
from shared.events.envelope import RecordedEvent
from shared.events.node import MapStarted, NodeFailed, NodeStarted, NodeSucceeded, NodeWaiting
from shared.nodes.node_type import Completed, NodeError

if TYPE_CHECKING:
    from shared.events.facts import ExecutionFact


# A node that nothing recorded answers for waits for ever.
NEVER = timestamp(253_402_300_799)
# Which version is called is decided when it is.
UNKNOWN_VERSION = 0
_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """How a node ended in the recorded run, and the clock (Unix milliseconds) that its expressions saw."""

    fact: NodeSucceeded | NodeFailed
    evaluated_at: int


class RecordedOutcomes:
    """What a run recorded, by the paths of its nodes."""

    def __init__(self, events: Iterable[RecordedEvent], program: CompiledWorkflow | None) -> None:
        """`program` is the recorded run's."""
        self._found: dict[str, RecordedOutcome] = {}
        self._types = dict(_types(program)) if program is not None else {}
        began: dict[str, int] = {}
        for event in events:
            fact, _ = execution_fact(event)
            if isinstance(fact, (NodeStarted, NodeWaiting, MapStarted)):
                began[fact.node_id] = fact.evaluated_at
            elif isinstance(fact, (NodeSucceeded, NodeFailed)):
                self._found[fact.node_id] = RecordedOutcome(fact, began.get(fact.node_id, fact.evaluated_at))

    def of(self, step: Step) -> RecordedOutcome | None:
        """The answer to a node; `None` where it never ended, or was of another type."""
        if self._types.get(_INDEX.sub("", step.path)) != step.one.node.type:
            return None
        return self._found.get(step.path)


class DryRunNodes(NodeInputResolver):
    """One run's nodes."""

    def __init__(
        self, state: ExecutionState, program: CompiledWorkflow, guard: ExpressionEvaluator, answers: RecordedOutcomes
    ) -> None:
        """`state` is that of a run which has started; `answers` are those of the recorded one."""
        super().__init__(state, program, guard)
        self._program, self._answers = program, answers

    async def run(self) -> None:
        """Takes the run as far as it comes: to its end, or to nodes that nothing recorded answers for."""
        ready_nodes = ReadyNodes(self._state, self.scopes, self._record, self._end_map)
        ready = ready_nodes.begun()
        while ready:
            for path in ready:
                await self._settle(self.scopes.step(path))
            ready = ready_nodes.following(ready)
        if not self._state.waiting:
            self._record(outcome(self._program.graph, self._state))

    async def _settle(self, step: Step) -> None:
        """Settles the node, or opens a map; one that nothing recorded answers for is left waiting."""
        answer = self._answers.of(step)
        evaluated_at = answer.evaluated_at if answer is not None else _now()
        try:
            await self._attempt(step, answer, evaluated_at)
        except NodeError as error:
            self._fail(step, error)

    async def _attempt(self, step: Step, answer: RecordedOutcome | None, evaluated_at: int) -> None:
        one, path = step.one, step.path
        if one.node.disabled:
            self._record(self.success(step, 1, Completed(output_of=tuple(self.sources(step))), evaluated_at, []))
            return
        resolved, undefined = await self.fill(step, evaluated_at)
        # Secrets and the URLs of signals are not read here: what stands in their place need not fit.
        parameters = None if one.is_disclosing else one.type.parse(resolved)
        if one.type.spread is not None:
            self._record(MapStarted(path, 1, one.type.complete(resolved), evaluated_at, undefined))
        elif one.type.run is not None and not self._asks_for_signal(step, parameters, evaluated_at):
            completed = one.type.compute(parameters, self.inputs(step))
            self._record(self.success(step, 1, completed, evaluated_at, undefined))
        else:
            if one.type.perform is not None:
                self._record(NodeStarted(path, 1, self.effect_key(path), resolved, evaluated_at))
            elif one.type.call is not None:
                self._record(NodeStarted(path, 1, None, resolved, evaluated_at, UNKNOWN_VERSION))
            self._answer(step, answer, NodeWaiting(path, 1, NEVER, resolved, evaluated_at, undefined))

    def _asks_for_signal(self, step: Step, parameters: object, evaluated_at: int) -> bool:
        wait = step.one.type.wait
        return wait is not None and wait(parameters, evaluated_at / 1000).signal is not None

    def _answer(self, step: Step, answer: RecordedOutcome | None, unanswered: NodeWaiting) -> None:
        if answer is None:
            self._record(unanswered)
        elif isinstance(answer.fact, NodeFailed):
            self._record(replace(answer.fact, handled=step.one.node.on_error))
        else:
            self._record(replace(answer.fact, undefined=unanswered.undefined))

    def _end_map(self, path: str, is_success: bool) -> None:
        step, record = self.scopes.step(path), self._state.nodes[path]
        try:
            if not is_success:
                raise items_failed()
            self._record(self.success(step, 1, Completed(), record.evaluated_at or 0, list(record.undefined)))
        except NodeError as error:
            self._fail(step, error)

    def _fail(self, step: Step, error: NodeError) -> None:
        # No retry: what another attempt would bring, nobody recorded.
        self._record(NodeFailed(step.path, 1, error.as_json(), step.one.node.on_error, _now()))

    def _record(self, fact: ExecutionFact) -> None:
        apply(self._state, fact, timestamp(time.time()))


def _now() -> int:
    return int(time.time() * 1000)


def _types(body: CompiledGraph, prefix: str = "") -> Iterable[tuple[str, str]]:
    for node_id, one in body.nodes.items():
        yield prefix + node_id, one.node.type
        if one.body is not None:
            yield from _types(one.body, f"{prefix}{node_id}.")
