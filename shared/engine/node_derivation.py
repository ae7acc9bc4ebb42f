"""A node's next fact, derived from the run's state for the one that is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.domain.execution import SETTLED, ExecutionState
from shared.domain.fates import fate
from shared.domain.node_record import NodeRecord
from shared.domain.paths import item_of
from shared.domain.retry import LONGEST_RETRY_AFTER_SECONDS, delay_seconds
from shared.domain.timestamps import timestamp, unix_seconds
from shared.engine.attempts import LONGEST_WAIT_SECONDS
from shared.engine.call_derivation import begun_call, call_code, ended_call
from shared.engine.resolution import Resolution, success
from shared.engine.scopes import Scope, Step
from shared.errors import UnavailableError
from shared.events.execution import (
    ExecutionFact,
    MapStarted,
    NodeFailed,
    NodeRetryScheduled,
    NodeStarted,
    NodeSucceeded,
    NodeWaiting,
)
from shared.ids import derived_id
from shared.nodes.node_type import NodeError, Wait

JsonObject = dict[str, Any]
NodeFact = NodeStarted | NodeSucceeded | NodeFailed | NodeRetryScheduled | NodeWaiting | MapStarted

# An event loop's timers may come a little early.
EARLY_SECONDS = 0.1
# A busy event loop may come late: between a moment from which time is counted and its record.
LATE_SECONDS = 5.0


class ImpossibleError(Exception):
    """No such fact may stand here, and why."""


class NodeDerivation:
    """One run's nodes."""

    def __init__(self, state: ExecutionState, resolution: Resolution) -> None:
        """`resolution` is over the same state."""
        self._state, self._resolution = state, resolution

    def scope(self, prefix: str) -> Scope:
        """Where nodes with this prefix stand; an item that is not under way raises `ImpossibleError`."""
        try:
            if prefix:
                map_path, index = item_of(prefix)
                record = self._state.nodes.get(map_path)
                items = record.items if record is not None and record.is_open_map else None
                if items is None or not 0 <= index < len(items.values):
                    raise ImpossibleError("There was no such item under way.")
                if index in items.outputs or index in items.errors:
                    raise ImpossibleError("The item had ended.")
            return self._resolution.scopes.at(prefix)
        except (KeyError, ValueError):
            raise ImpossibleError("The graph has no such map.") from None

    async def fact(self, recorded: NodeFact, happened_at: str) -> ExecutionFact:
        """The fact that should stand where `recorded` does; where no such fact may, it raises `ImpossibleError`."""
        step = self._step(recorded.node_id)
        record = self._state.nodes.get(step.path)
        if isinstance(recorded, (NodeFailed, NodeRetryScheduled)):
            return await self._failure(step, record, recorded, happened_at)
        try:
            if isinstance(recorded, (NodeStarted, NodeWaiting, NodeSucceeded)) and _calls(step):
                return await self._called(step, record, recorded)
            if isinstance(recorded, NodeSucceeded) and step.one.is_effect:
                return self._answered(step, record, recorded)
            if isinstance(recorded, NodeSucceeded):
                return await self._succeeded(step, record, recorded, happened_at)
            return await self._begun(step, record, recorded)
        except NodeError as error:
            return NodeFailed(step.path, self._attempt(record), error.as_json(), step.one.node.on_error, 0)

    def _step(self, path: str) -> Step:
        prefix, _, node_id = path.rpartition("].")
        scope = self.scope(f"{prefix}]." if prefix else "")
        if node_id not in scope.body.nodes:
            raise ImpossibleError("The graph has no such node.")
        record = self._state.nodes.get(path)
        if record is not None and record.status in SETTLED:
            raise ImpossibleError(f"The node had {record.status} before.")
        if (record is None or record.status == "pending") and (
            fate(scope.body.graph, self._state, node_id, scope.prefix) != "ready"
        ):
            raise ImpossibleError("Its predecessors do not say that the node runs.")
        return self._resolution.scopes.step(path)

    def _attempt(self, record: NodeRecord | None) -> int:
        if record is None:
            return 1
        return record.attempts + (record.status != "running" and record.wake_at is None)

    async def _filled(
        self, step: Step, record: NodeRecord | None, evaluated_at: int
    ) -> tuple[JsonObject, list[str], int]:
        if record is not None and record.parameters is not None:
            return record.parameters, list(record.undefined), record.evaluated_at or 0
        resolved, undefined = await self._resolution.fill(step, evaluated_at)
        return resolved, undefined, evaluated_at

    async def _begun(
        self, step: Step, record: NodeRecord | None, recorded: NodeStarted | NodeWaiting | MapStarted
    ) -> ExecutionFact:
        """An effect, a wait or a map begins."""
        one, path, attempt = step.one, step.path, self._attempt(record)
        if one.node.disabled or (record is not None and (record.status == "running" or record.wake_at is not None)):
            raise ImpossibleError("The node does not begin here.")
        resolved, undefined, evaluated_at = await self._filled(step, record, recorded.evaluated_at)
        if one.type.perform is not None and one.is_disclosing:
            return NodeStarted(path, attempt, derived_id("effect", self._state.id, path), resolved, evaluated_at)
        parameters = one.type.parse(resolved)
        if one.type.spread is not None:
            given = one.type.complete(resolved) if one.type.complete else resolved
            return MapStarted(path, attempt, given, evaluated_at, undefined)
        if one.type.perform is not None:
            return NodeStarted(path, attempt, derived_id("effect", self._state.id, path), resolved, evaluated_at)
        if one.type.wait is None:
            raise ImpossibleError("A node of this type does not wait.")
        wait = one.type.wait(parameters, evaluated_at / 1000)
        return NodeWaiting(path, attempt, timestamp(wait.until), resolved, evaluated_at, undefined, wait.signal)

    async def _called(
        self, step: Step, record: NodeRecord | None, recorded: NodeStarted | NodeWaiting | NodeSucceeded
    ) -> ExecutionFact:
        """A call begins, waits or has succeeded."""
        resolved, _, evaluated_at = await self._filled(step, record, recorded.evaluated_at)
        assert step.one.type.call is not None, "a node that calls"
        call = step.one.type.call(step.one.type.parse(resolved))
        found: NodeStarted | NodeWaiting | NodeSucceeded | None
        if isinstance(recorded, NodeSucceeded):
            found = ended_call(self._state, step, record, call, replace(recorded, evaluated_at=evaluated_at))
        else:
            given = replace(recorded, attempt=self._attempt(record), parameters=resolved, evaluated_at=evaluated_at)
            found = begun_call(self._state, step, record, call, given)
        if found is None:
            raise ImpossibleError("The node's call has not come so far.")
        return found

    def _answered(self, step: Step, record: NodeRecord | None, recorded: NodeSucceeded) -> ExecutionFact:
        """An effect's answer is taken as it stands."""
        if record is None or record.status != "running":
            raise ImpossibleError("The effect had not been started.")
        if not set(recorded.handles) <= set(step.one.type.handles(step.one.node.parameters)):
            raise ImpossibleError(f"The node has no handle {', '.join(recorded.handles)}.")
        return replace(recorded, attempt=record.attempts, evaluated_at=record.evaluated_at or 0)

    async def _succeeded(
        self, step: Step, record: NodeRecord | None, recorded: NodeSucceeded, happened_at: str
    ) -> ExecutionFact:
        path, kind, attempt = step.path, step.one.type, self._attempt(record)
        if step.one.node.disabled:
            sources = self._resolution.sources(step)
            return NodeSucceeded(path, attempt, None, ["out"], recorded.evaluated_at, [], sources)
        if kind.spread is not None:
            if not self._map_ended(step, record):
                raise ImpossibleError("The map was not successful.")
            assert record is not None, "a map that has ended has a record"
            return NodeSucceeded(path, attempt, None, ["out"], record.evaluated_at or 0, list(record.undefined))
        if kind.run is None:
            raise ImpossibleError("A trigger is settled by ExecutionStarted.")
        resolved, undefined, evaluated_at = await self._filled(step, record, recorded.evaluated_at)
        parameters, inputs = kind.parse(resolved), self._resolution.inputs(step)
        candidates = [inputs]
        if kind.wait is not None:
            is_over = _is_over(kind.wait(parameters, evaluated_at / 1000), record, evaluated_at, happened_at)
            # A signal may have come in between, after the end of the wait had been decided.
            candidates = [inputs] * (inputs.signal is not None) + [replace(inputs, signal=None)] * is_over
            if not candidates:
                raise ImpossibleError("The wait was not over.")
        found = [success(path, attempt, kind.yields(parameters, one), evaluated_at, undefined) for one in candidates]
        return next((one for one in found if one == recorded), found[0])

    def _map_ended(self, step: Step, record: NodeRecord | None) -> bool:
        """Whether the map succeeded, now that its last item has ended."""
        if record is None or not record.is_open_map or record.items is None or record.items.under_way:
            raise ImpossibleError("The map was not over.")
        assert step.one.type.spread is not None, "only a map has items"
        spread = step.one.type.spread(step.one.type.parse(record.parameters or {}))
        succeeded, failed = len(record.items.outputs), len(record.items.errors)
        if succeeded + failed < spread.total and not spread.is_decided(succeeded, failed):
            raise ImpossibleError("The map was not over: there were more items.")
        return spread.is_success(succeeded, failed)

    async def _failure(
        self, step: Step, record: NodeRecord | None, recorded: NodeFailed | NodeRetryScheduled, happened_at: str
    ) -> ExecutionFact:
        code, attempt = str(recorded.error.get("code")), self._attempt(record)
        found = await self._code(step, record, recorded.error, int(unix_seconds(happened_at) * 1000))
        if found != code:
            raise ImpossibleError(f"The node fails with {found}." if found else "The node does not fail.")
        made = attempt - (record.attempts_before if record is not None else 0)
        longest = delay_seconds(step.one.node.retry, code, made, 1.0)
        if isinstance(recorded, NodeFailed):
            if longest is not None:
                raise ImpossibleError("A retrier says that the node is attempted again.")
            return replace(recorded, attempt=attempt, handled=step.one.node.on_error)
        is_answered = step.one.is_effect and record is not None and record.status == "running"
        if longest is None or recorded.delay_seconds > max(longest, LONGEST_RETRY_AFTER_SECONDS * is_answered):
            raise ImpossibleError("No retrier says that the node is attempted again after so long.")
        late = unix_seconds(recorded.retry_at) - recorded.delay_seconds - unix_seconds(happened_at)
        if abs(late) > LATE_SECONDS:
            raise ImpossibleError("The next attempt is not when its delay is over.")
        return replace(recorded, attempt=attempt)

    async def _code(self, step: Step, record: NodeRecord | None, error: JsonObject, now: int) -> str | None:
        """The code with which the node fails, `None` where it does not."""
        one, code = step.one, str(error.get("code"))
        if one.node.disabled:
            return None
        if one.is_effect and record is not None and record.status == "running":
            return code  # it comes from outside
        if one.type.spread is not None and record is not None and record.is_open_map:
            return None if self._map_ended(step, record) else "items_failed"
        if "jsonata" in (error.get("details") or {}) and code in ("timeout", "limit"):
            return code  # it depends on the machine
        try:
            # The moment at which the parameters were filled in is not recorded of a failure: it was just before.
            resolved, _, _ = await self._filled(step, record, now)
            parameters = one.type.parse(resolved)
            if one.type.call is not None:
                return call_code(self._state, record, step.path, code)
            if one.type.run is not None:
                one.type.yields(parameters, self._resolution.inputs(step))
        except NodeError as failure:
            if failure.code == "timeout":
                raise UnavailableError("An expression took too long to be derived again; try again.") from failure
            return failure.code
        return None


def _calls(step: Step) -> bool:
    return step.one.type.call is not None and not step.one.node.disabled


def _is_over(wait: Wait, record: NodeRecord | None, evaluated_at: int, happened_at: str) -> bool:
    """Whether the time of a wait has passed; a long one of which no beginning is recorded raises `ImpossibleError`."""
    is_long = wait.signal is not None or wait.until - evaluated_at / 1000 > LONGEST_WAIT_SECONDS + LATE_SECONDS
    if is_long and (record is None or record.wake_at is None):
        raise ImpossibleError("The node had not begun to wait.")
    return unix_seconds(happened_at) >= wait.until - EARLY_SECONDS
