"""A node's next fact, derived from the run's state to be compared with the recorded one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.execution.node_readiness import readiness
from shared.domain.execution.node_record import UNTOUCHED, NodeRecord
from shared.domain.execution.state import SETTLED, ExecutionState
from shared.domain.timestamps import timestamp, unix_seconds
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.scopes import Scope
from shared.engine.run.timers import LONGEST_WAIT_SECONDS
from shared.engine.verify.call_derivation import derived_call
from shared.engine.verify.context import EARLY_SECONDS, LATE_SECONDS, DerivationContext, UnderivableError
from shared.engine.verify.failure_derivation import derived_failure
from shared.events.node import MapStarted, NodeFailed, NodeRetryScheduled, NodeStarted, NodeSucceeded, NodeWaiting
from shared.json_types import JsonObject
from shared.nodes.node_kinds import (
    Call,
    Effect,
    Map,
    NodeError,
    NodeInputs,
    Parameters,
    Pure,
    Trigger,
    Wait,
    dispatch,
)

if TYPE_CHECKING:
    from shared.events.facts import ExecutionFact

NodeFact = NodeStarted | NodeSucceeded | NodeFailed | NodeRetryScheduled | NodeWaiting | MapStarted


class NodeDerivation:
    """One run's nodes."""

    def __init__(self, state: ExecutionState, node_inputs: NodeInputResolver) -> None:
        """`node_inputs` is over the same state."""
        self._state, self._node_inputs = state, node_inputs

    def scope(self, prefix: str) -> Scope:
        """Where nodes with this prefix stand; an item that is not under way raises `UnderivableError`."""
        try:
            if prefix:
                map_path, index = item_of(prefix)
                record = self._state.nodes.get(map_path)
                items = record.items if record is not None and record.is_open_map else None
                if items is None or not 0 <= index < len(items.values):
                    raise UnderivableError("There was no such item under way.")
                if index in items.outputs or index in items.errors:
                    raise UnderivableError("The item had ended.")
            return self._node_inputs.scopes.at(prefix)
        except (KeyError, ValueError):
            raise UnderivableError("The graph has no such map.") from None

    async def fact(self, recorded: NodeFact, happened_at: str) -> ExecutionFact:
        """The fact that should stand where `recorded` does.

        Where no such fact may, it raises `UnderivableError`; an expression that took too long to be derived again
        raises `UnavailableError`.
        """
        context = self._context(recorded.node_id)
        if isinstance(recorded, (NodeFailed, NodeRetryScheduled)):
            return await derived_failure(context, recorded, happened_at)
        compiled, attempt = context.step.compiled, context.record.attempt
        try:
            if isinstance(recorded, NodeSucceeded):
                if compiled.node.disabled:
                    passed_on = self._node_inputs.passed_on(context.step)
                    return self._node_inputs.success(context.step, attempt, passed_on, recorded.evaluated_at, [])
                return await dispatch(compiled.type.kind, _Success(context, recorded, happened_at))
            if compiled.node.disabled:
                raise UnderivableError("The node does not begin here.")
            return await dispatch(compiled.type.kind, _Beginning(context, recorded))
        except NodeError as error:
            # The recorded fact is no failure, so this is a difference by its type alone: the moment does not matter.
            return NodeFailed(context.step.path, attempt, error.as_json(), compiled.node.on_error, 0)

    def _context(self, path: str) -> DerivationContext:
        prefix, node_id = split_path(path)
        scope = self.scope(prefix)
        if node_id not in scope.body.nodes:
            raise UnderivableError("The graph has no such node.")
        record = self._state.nodes.get(path, UNTOUCHED)
        if record.status in SETTLED:
            raise UnderivableError(f"The node had {record.status} before.")
        # Of a node that has begun, the predecessors were settled before.
        if record.status == "pending" and readiness(scope.body.graph, self._state, node_id, scope.prefix) != "ready":
            raise UnderivableError("Its predecessors do not say that the node runs.")
        return DerivationContext(self._state, self._node_inputs, self._node_inputs.scopes.step(path), record)


@dataclass(frozen=True, slots=True)
class _Beginning:
    """The fact with which a node begins; its methods are a `NodeHandler`'s. A failure instead raises `NodeError`."""

    context: DerivationContext
    recorded: NodeStarted | NodeWaiting | MapStarted

    async def trigger(self, _kind: Trigger) -> ExecutionFact:
        raise UnderivableError("A trigger is settled by ExecutionStarted.")

    async def pure(self, kind: Pure[Parameters]) -> ExecutionFact:
        path, recorded, node_inputs = self.context.step.path, self.recorded, self.context.node_inputs
        resolved, undefined, evaluated_at = await self._resolved()
        wait = kind.wait(self.context.step.compiled.type.parse(resolved), evaluated_at / 1000)
        if wait is None:
            raise UnderivableError("A node of this type does not wait.")
        until, attempt = timestamp(wait.until), self.context.record.attempt
        waiting = NodeWaiting(path, attempt, until, resolved, evaluated_at, undefined, wait.signal)
        if not isinstance(recorded, NodeWaiting) or recorded.passed_over is None:
            return waiting  # a former version's does not say
        passed_over = node_inputs.passed_over(path, wait, resolved)
        # A signal may have come in between, after the wait had begun.
        return replace(waiting, passed_over=None if passed_over is None else min(passed_over, recorded.passed_over))

    async def effect(self, _kind: Effect[Parameters]) -> ExecutionFact:
        step, compiled = self.context.step, self.context.step.compiled
        resolved, _, evaluated_at = await self._resolved()
        if not compiled.is_disclosing:
            compiled.type.parse(resolved)  # secrets and URLs are not recorded: a placeholder need not fit
        key = self.context.node_inputs.effect_key(step.path)
        return NodeStarted(step.path, self.context.record.attempt, key, resolved, evaluated_at)

    async def call(self, kind: Call[Parameters]) -> ExecutionFact:
        if isinstance(self.recorded, MapStarted):
            raise UnderivableError("A node of this type has no items.")
        return await derived_call(self.context, kind, self.recorded)

    async def map(self, _kind: Map[Parameters]) -> ExecutionFact:
        type_ = self.context.step.compiled.type
        resolved, undefined, evaluated_at = await self._resolved()
        type_.parse(resolved)
        completed, attempt = type_.complete(resolved), self.context.record.attempt
        return MapStarted(self.context.step.path, attempt, completed, evaluated_at, undefined)

    async def _resolved(self) -> tuple[JsonObject, list[str], int]:
        """As `NodeInputResolver.resolve`; a node that has begun raises `UnderivableError`."""
        if self.context.is_running or self.context.record.wake_at is not None:
            raise UnderivableError("The node does not begin here.")
        return await self.context.node_inputs.resolve(self.context.step, self.recorded.evaluated_at)


@dataclass(frozen=True, slots=True)
class _Success:
    """The fact that a node has succeeded; its methods are a `NodeHandler`'s. A failure instead raises `NodeError`."""

    context: DerivationContext
    recorded: NodeSucceeded
    happened_at: str

    async def trigger(self, _kind: Trigger) -> NodeSucceeded:
        raise UnderivableError("A trigger is settled by ExecutionStarted.")

    async def pure(self, kind: Pure[Parameters]) -> NodeSucceeded:
        context, recorded = self.context, self.recorded
        node_inputs = context.node_inputs
        resolved, undefined, evaluated_at = await node_inputs.resolve(context.step, recorded.evaluated_at)
        parameters = context.step.compiled.type.parse(resolved)
        facts = [
            node_inputs.success(
                context.step,
                context.record.attempt,
                node_inputs.compute(context.step, kind, parameters, inputs),
                evaluated_at,
                undefined,
                inputs.signal,
            )
            for inputs in self._candidates(kind.wait(parameters, evaluated_at / 1000), evaluated_at)
        ]
        if recorded.signal is None:
            facts = [replace(fact, signal=None) for fact in facts]  # a former version's does not say which it was
        return next((fact for fact in facts if fact == recorded), facts[0])

    async def effect(self, _kind: Effect[Parameters]) -> NodeSucceeded:
        """An effect's result is taken as recorded."""
        compiled, record, recorded = self.context.step.compiled, self.context.record, self.recorded
        if not self.context.is_running:
            raise UnderivableError("The effect had not been started.")
        if not set(recorded.handles) <= set(compiled.type.handles(compiled.node.parameters)):
            raise UnderivableError(f"The node has no handle {', '.join(recorded.handles)}.")
        return replace(recorded, attempt=record.attempts, evaluated_at=record.evaluated_at or 0)

    async def call(self, kind: Call[Parameters]) -> ExecutionFact:
        return await derived_call(self.context, kind, self.recorded)

    async def map(self, kind: Map[Parameters]) -> NodeSucceeded:
        context = self.context
        if not context.map_succeeded(kind):
            raise UnderivableError("The map was not successful.")
        return context.node_inputs.map_success(context.step, context.record.attempt, is_success=True)

    def _candidates(self, wait: Wait | None, evaluated_at: int) -> list[NodeInputs]:
        """The inputs on which the node may have run: with the signal that has come, or without one once the wait is
        over; never none."""
        inputs = self.context.node_inputs.inputs(self.context.step)
        if wait is None:
            return [inputs]
        is_over = _is_over(wait, self.context.record, evaluated_at, self.happened_at)
        # A signal may have come in between, after the end of the wait had been decided.
        candidates = [inputs] * (inputs.signal is not None) + [replace(inputs, signal=None)] * is_over
        if not candidates:
            raise UnderivableError("The wait was not over.")
        return candidates


def _is_over(wait: Wait, record: NodeRecord, evaluated_at: int, happened_at: str) -> bool:
    """Whether a wait's time has passed; a long wait whose beginning is not recorded raises `UnderivableError`."""
    # A short wait happens within a drain, which does not record its beginning.
    is_long = wait.signal is not None or wait.until - evaluated_at / 1000 > LONGEST_WAIT_SECONDS + LATE_SECONDS
    if is_long and record.wake_at is None:
        raise UnderivableError("The node had not begun to wait.")
    return unix_seconds(happened_at) >= wait.until - EARLY_SECONDS
