"""A node's next fact, derived from the run's state for the one that is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.execution.node_readiness import fate
from shared.domain.execution.node_record import UNTOUCHED, NodeRecord
from shared.domain.execution.state import SETTLED, ExecutionState
from shared.domain.timestamps import timestamp, unix_seconds
from shared.engine.run.node_inputs import NodeInputResolver
from shared.engine.run.node_runner import LONGEST_WAIT_SECONDS
from shared.engine.run.scopes import Scope
from shared.engine.verify.call_derivation import derived_call
from shared.engine.verify.context import EARLY_SECONDS, LATE_SECONDS, DerivationContext, UnderivableError
from shared.engine.verify.failure_derivation import derived_failure
from shared.events.node import MapStarted, NodeFailed, NodeRetryScheduled, NodeStarted, NodeSucceeded, NodeWaiting
from shared.nodes.node_type import Completed, NodeError, Wait

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
        given = self._context(recorded.node_id)
        if isinstance(recorded, (NodeFailed, NodeRetryScheduled)):
            return await derived_failure(given, recorded, happened_at)
        one = given.step.one
        calls = one.type.call is not None and not one.node.disabled
        try:
            if isinstance(recorded, (NodeStarted, NodeWaiting, NodeSucceeded)) and calls:
                return await derived_call(given, recorded)
            if isinstance(recorded, NodeSucceeded):
                return _answered(given, recorded) if one.is_effect else await _succeeded(given, recorded, happened_at)
            return await _begun(given, recorded)
        except NodeError as error:
            return NodeFailed(given.step.path, given.record.attempt, error.as_json(), one.node.on_error, 0)

    def _context(self, path: str) -> DerivationContext:
        prefix, node_id = split_path(path)
        scope = self.scope(prefix)
        if node_id not in scope.body.nodes:
            raise UnderivableError("The graph has no such node.")
        record = self._state.nodes.get(path, UNTOUCHED)
        if record.status in SETTLED:
            raise UnderivableError(f"The node had {record.status} before.")
        if record.status == "pending" and fate(scope.body.graph, self._state, node_id, scope.prefix) != "ready":
            raise UnderivableError("Its predecessors do not say that the node runs.")
        return DerivationContext(self._state, self._node_inputs, self._node_inputs.scopes.step(path), record)


async def _begun(given: DerivationContext, recorded: NodeStarted | NodeWaiting | MapStarted) -> ExecutionFact:
    """An effect, a wait or a map begins."""
    one, path, attempt, record = given.step.one, given.step.path, given.record.attempt, given.record
    if one.node.disabled or given.is_running or record.wake_at is not None:
        raise UnderivableError("The node does not begin here.")
    resolved, undefined, evaluated_at = await given.node_inputs.resolve(given.step, recorded.evaluated_at)
    started = NodeStarted(path, attempt, given.node_inputs.effect_key(path), resolved, evaluated_at)
    if one.type.perform is not None and one.is_disclosing:
        return started
    parameters = one.type.parse(resolved)
    if one.type.spread is not None:
        return MapStarted(path, attempt, one.type.complete(resolved), evaluated_at, undefined)
    if one.type.perform is not None:
        return started
    if one.type.wait is None:
        raise UnderivableError("A node of this type does not wait.")
    wait = one.type.wait(parameters, evaluated_at / 1000)
    waiting = NodeWaiting(path, attempt, timestamp(wait.until), resolved, evaluated_at, undefined, wait.signal)
    if not isinstance(recorded, NodeWaiting) or recorded.passed_over is None:
        return waiting  # a former version's does not say
    passed_over = given.node_inputs.passed_over(path, wait, resolved)
    # A signal may have come in between, after the wait had begun.
    return replace(waiting, passed_over=None if passed_over is None else min(passed_over, recorded.passed_over))


def _answered(given: DerivationContext, recorded: NodeSucceeded) -> NodeSucceeded:
    """An effect's answer is taken as it stands."""
    one, record = given.step.one, given.record
    if not given.is_running:
        raise UnderivableError("The effect had not been started.")
    if not set(recorded.handles) <= set(one.type.handles(one.node.parameters)):
        raise UnderivableError(f"The node has no handle {', '.join(recorded.handles)}.")
    return replace(recorded, attempt=record.attempts, evaluated_at=record.evaluated_at or 0)


async def _succeeded(given: DerivationContext, recorded: NodeSucceeded, happened_at: str) -> NodeSucceeded:
    """A pure node, a wait or a map has succeeded."""
    kind, attempt, record = given.step.one.type, given.record.attempt, given.record
    if given.step.one.node.disabled:
        passed_on = Completed(output_of=tuple(given.node_inputs.sources(given.step)))
        return given.node_inputs.success(given.step, attempt, passed_on, recorded.evaluated_at, [])
    if kind.spread is not None:
        if not given.map_succeeded():
            raise UnderivableError("The map was not successful.")
        return given.node_inputs.success(
            given.step, attempt, Completed(), record.evaluated_at or 0, list(record.undefined)
        )
    if kind.run is None:
        raise UnderivableError("A trigger is settled by ExecutionStarted.")
    resolved, undefined, evaluated_at = await given.node_inputs.resolve(given.step, recorded.evaluated_at)
    parameters, inputs = kind.parse(resolved), given.node_inputs.inputs(given.step)
    candidates = [inputs]
    if kind.wait is not None:
        is_over = _is_over(kind.wait(parameters, evaluated_at / 1000), record, evaluated_at, happened_at)
        # A signal may have come in between, after the end of the wait had been decided.
        candidates = [inputs] * (inputs.signal is not None) + [replace(inputs, signal=None)] * is_over
        if not candidates:
            raise UnderivableError("The wait was not over.")
    found = [
        given.node_inputs.success(
            given.step, attempt, kind.compute(parameters, one), evaluated_at, undefined, one.signal
        )
        for one in candidates
    ]
    if recorded.signal is None:
        found = [replace(one, signal=None) for one in found]  # a former version's does not say which it was
    return next((one for one in found if one == recorded), found[0])


def _is_over(wait: Wait, record: NodeRecord, evaluated_at: int, happened_at: str) -> bool:
    """Whether the time of a wait has passed; a long one of which no beginning is recorded raises `UnderivableError`."""
    is_long = wait.signal is not None or wait.until - evaluated_at / 1000 > LONGEST_WAIT_SECONDS + LATE_SECONDS
    if is_long and record.wake_at is None:
        raise UnderivableError("The node had not begun to wait.")
    return unix_seconds(happened_at) >= wait.until - EARLY_SECONDS
