"""A node's failure, or its next attempt, derived from the run's state for the one that is recorded."""

from __future__ import annotations

from dataclasses import replace

from shared.domain.retry_policy import LONGEST_RETRY_AFTER_SECONDS, delay_seconds
from shared.domain.timestamps import unix_seconds
from shared.engine.run.node_inputs import interrupted
from shared.engine.verify.call_derivation import call_code
from shared.engine.verify.context import LATE_SECONDS, DerivationContext, UnderivableError
from shared.errors import UnavailableError
from shared.events.node import NodeFailed, NodeRetryScheduled
from shared.json_types import JsonObject
from shared.nodes.node_type import Completed, NodeError


async def derived_failure(
    given: DerivationContext, recorded: NodeFailed | NodeRetryScheduled, happened_at: str
) -> NodeFailed | NodeRetryScheduled:
    """The failure that should stand where `recorded` does, with its error as it stands: only the code is derived.

    Where none may stand it raises `UnderivableError`; an expression that took too long to be derived again raises
    `UnavailableError`.
    """
    one, attempt = given.step.one, given.record.attempt
    code = str(recorded.error.get("code"))
    # A former version's retry does not say at which moment its expressions were evaluated: it was just before.
    evaluated_at = recorded.evaluated_at
    found = await _code(
        given, recorded.error, int(unix_seconds(happened_at) * 1000) if evaluated_at is None else evaluated_at
    )
    if found != code:
        raise UnderivableError(f"The node fails with {found}." if found else "The node does not fail.")
    longest = delay_seconds(one.node.retry, code, attempt - given.record.attempts_before, 1.0)
    if isinstance(recorded, NodeFailed):
        if longest is not None:
            raise UnderivableError("A retrier says that the node is attempted again.")
        return replace(recorded, attempt=attempt, handled=one.node.on_error)
    is_answered = one.is_effect and given.is_running
    if longest is None or recorded.delay_seconds > max(longest, LONGEST_RETRY_AFTER_SECONDS * is_answered):
        raise UnderivableError("No retrier says that the node is attempted again after so long.")
    late = unix_seconds(recorded.retry_at) - recorded.delay_seconds - unix_seconds(happened_at)
    if abs(late) > LATE_SECONDS:
        raise UnderivableError("The next attempt is not when its delay is over.")
    return replace(recorded, attempt=attempt)


async def _code(given: DerivationContext, error: JsonObject, now: int) -> str | None:
    """The code with which the node fails, `None` where it does not; its expressions see `now`."""
    one, code = given.step.one, str(error.get("code"))
    if one.node.disabled:
        return _success_code(given, Completed(output_of=tuple(given.node_inputs.sources(given.step))))
    if one.is_effect and given.is_running:
        # It comes from outside; but only what is sent at most once is given up without an answer.
        return code if code != interrupted().code or one.node.delivery == "at_most_once" else None
    if one.type.spread is not None and given.record.is_open_map:
        return _success_code(given, Completed()) if given.map_succeeded() else "items_failed"
    if "jsonata" in (error.get("details") or {}) and code in ("timeout", "limit"):
        return code  # it depends on the machine
    try:
        resolved, _, _ = await given.node_inputs.resolve(given.step, now)
        parameters = one.type.parse(resolved)
        if one.type.call is not None:
            return call_code(given, code)
        if one.type.wait is not None and given.record.wake_at is None:
            moment = now if given.record.evaluated_at is None else given.record.evaluated_at
            given.node_inputs.passed_over(given.step.path, one.type.wait(parameters, moment / 1000), resolved)
        if one.type.run is not None:
            return _success_code(given, one.type.compute(parameters, given.node_inputs.inputs(given.step)))
    except NodeError as failure:
        if failure.code == "timeout":
            raise UnavailableError("An expression took too long to be derived again; try again.") from failure
        return failure.code
    return None


def _success_code(given: DerivationContext, completed: Completed) -> str | None:
    """The code with which the node fails although it has got so far, `None` where it succeeds."""
    try:
        given.node_inputs.success(given.step, given.record.attempt, completed, 0, [])
    except NodeError as failure:
        return failure.code
    return None
