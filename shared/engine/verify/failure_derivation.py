"""A node's failure, or its next attempt, derived from the run's state to be compared with the recorded one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from shared.domain.retry_policy import LONGEST_RETRY_AFTER_SECONDS, delay_seconds
from shared.domain.timestamps import unix_seconds
from shared.engine.run.node_inputs import interrupted, items_failed
from shared.engine.verify.call_derivation import call_code
from shared.engine.verify.context import LATE_SECONDS, DerivationContext, UnderivableError
from shared.errors import UnavailableError
from shared.events.node import NodeFailed, NodeRetryScheduled
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Call, Completed, Effect, Map, NodeError, Parameters, Pure, Trigger, dispatch


async def derived_failure(
    context: DerivationContext, recorded: NodeFailed | NodeRetryScheduled, happened_at: str
) -> NodeFailed | NodeRetryScheduled:
    """The failure that should stand where `recorded` does, with its error as it stands: only the code is derived.

    Where none may stand it raises `UnderivableError`; an expression that took too long to be derived again raises
    `UnavailableError`.
    """
    compiled, attempt = context.step.compiled, context.record.attempt
    recorded_code = str(recorded.error.get("code"))
    # A former version's retry does not say at which moment its expressions were evaluated: it was just before.
    evaluated_at = recorded.evaluated_at
    now = int(unix_seconds(happened_at) * 1000) if evaluated_at is None else evaluated_at
    if compiled.node.disabled:
        code = _success_code(context, context.node_inputs.passed_on(context.step))
    else:
        code = await dispatch(compiled.type.kind, _FailureCode(context, recorded.error, recorded_code, now))
    if code != recorded_code:
        raise UnderivableError(f"The node fails with {code}." if code else "The node does not fail.")
    # With the greatest jitter: the recorded delay may be shorter.
    longest = delay_seconds(compiled.node.retry, code, attempt - context.record.attempts_before, 1.0)
    if isinstance(recorded, NodeFailed):
        if longest is not None:
            raise UnderivableError("A retrier says that the node is attempted again.")
        return replace(recorded, attempt=attempt, handled=compiled.node.on_error)
    is_answered = compiled.is_effect and context.is_running
    # Only a server that answered may have asked for a longer delay than the retrier's.
    if longest is None or recorded.delay_seconds > max(longest, LONGEST_RETRY_AFTER_SECONDS * is_answered):
        raise UnderivableError("No retrier says that the node is attempted again after so long.")
    late = unix_seconds(recorded.retry_at) - recorded.delay_seconds - unix_seconds(happened_at)
    if abs(late) > LATE_SECONDS:
        raise UnderivableError("The next attempt is not when its delay is over.")
    return replace(recorded, attempt=attempt)


@dataclass(frozen=True, slots=True)
class _FailureCode:
    """The code with which a node fails, `None` where it does not; its methods are a `NodeHandler`'s.

    Expressions that have not been evaluated yet see `now` (Unix milliseconds).
    """

    context: DerivationContext
    error: JsonObject
    recorded_code: str
    now: int

    async def trigger(self, _kind: Trigger) -> str | None:
        return await self._resolved(_no_failure)

    async def pure(self, kind: Pure[Parameters]) -> str | None:
        return await self._resolved(partial(self._computed, kind))

    async def effect(self, _kind: Effect[Parameters]) -> str | None:
        return self._from_outside() if self.context.is_running else await self._resolved(_no_failure)

    async def call(self, _kind: Call[Parameters]) -> str | None:
        if self.context.is_running:
            return self._from_outside()
        return await self._resolved(lambda _parameters, _resolved: call_code(self.context, self.recorded_code))

    async def map(self, kind: Map[Parameters]) -> str | None:
        context = self.context
        if not context.record.is_open_map:
            return await self._resolved(_no_failure)
        return _success_code(context, Completed()) if context.map_succeeded(kind) else items_failed().code

    def _from_outside(self) -> str | None:
        """The recorded code; but only an effect that is sent at most once fails without an answer."""
        is_sent_once = self.context.step.compiled.node.delivery == "at_most_once"
        return self.recorded_code if is_sent_once or self.recorded_code != interrupted().code else None

    async def _resolved(self, then: Callable[[Parameters, JsonObject], str | None]) -> str | None:
        """The code with which resolving the parameters fails, else that of `then`, called with their model and JSON."""
        code = self.recorded_code
        if "jsonata" in (self.error.get("details") or {}) and code in ("timeout", "limit"):
            return code  # it depends on the machine
        try:
            resolved, _, _ = await self.context.node_inputs.resolve(self.context.step, self.now)
            return then(self.context.step.compiled.type.parse(resolved), resolved)
        except NodeError as failure:
            if failure.code == "timeout":
                raise UnavailableError("An expression took too long to be derived again; try again.") from failure
            return failure.code

    def _computed(self, kind: Pure[Parameters], parameters: Parameters, resolved: JsonObject) -> str | None:
        context, record, node_inputs = self.context, self.context.record, self.context.node_inputs
        # A wait that had not begun may have failed as it looked for its signal.
        if record.wake_at is None:
            moment = self.now if record.evaluated_at is None else record.evaluated_at
            wait = kind.wait(parameters, moment / 1000)
            if wait is not None:
                node_inputs.passed_over(context.step.path, wait, resolved)
        completed = node_inputs.compute(context.step, kind, parameters, node_inputs.inputs(context.step))
        return _success_code(context, completed)


def _no_failure(_parameters: Parameters, _resolved: JsonObject) -> None:
    """The parameters resolve, and nothing else is known to fail before the node begins."""


def _success_code(context: DerivationContext, completed: Completed) -> str | None:
    """The code with which the node fails although it has a result, `None` where it succeeds."""
    try:
        context.node_inputs.success(context.step, context.record.attempt, completed, 0, [])
    except NodeError as failure:
        return failure.code
    return None
