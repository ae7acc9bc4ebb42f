"""The facts of a node that calls a workflow, derived from the run's state for those that are recorded.

Which version was published, how long the node was to wait and how the called run ended come from outside.
"""

from __future__ import annotations

from dataclasses import replace

from shared.engine.run.child_runs import NOT_CALLABLE, child_run_id, room_below
from shared.engine.verify.context import DerivationContext, UnderivableError
from shared.events.node import NodeStarted, NodeSucceeded, NodeWaiting
from shared.nodes.node_type import Call, NodeError


async def derived_call(
    given: DerivationContext, recorded: NodeStarted | NodeWaiting | NodeSucceeded
) -> NodeStarted | NodeWaiting | NodeSucceeded:
    """The beginning of a call, of its wait or its success, whichever is recorded.

    Where it may not stand it raises `UnderivableError`; a call that fails instead raises `NodeError`.
    """
    kind = given.step.one.type
    assert kind.call is not None, "a node that calls"
    resolved, _, evaluated_at = await given.node_inputs.resolve(given.step, recorded.evaluated_at)
    call = kind.call(kind.parse(resolved))
    found: NodeStarted | NodeWaiting | NodeSucceeded | None
    if isinstance(recorded, NodeSucceeded):
        found = _ended(given, call, replace(recorded, evaluated_at=evaluated_at))
    else:
        right = replace(recorded, attempt=given.record.attempt, parameters=resolved, evaluated_at=evaluated_at)
        found = _started(given, right) if isinstance(right, NodeStarted) else _waiting(given, call, right)
    if found is None:
        raise UnderivableError("The node's call has not come so far.")
    return found


def call_code(given: DerivationContext, code: str) -> str | None:
    """The code with which a call with parameters that fit fails where `code` is recorded, `None` where it does not."""
    if _is_under_way(given):
        return code
    try:
        room_below(given.state, given.step)
    except NodeError as error:
        return error.code
    # While the call was being looked at, nodes may have been skipped, whose share it did not get.
    was_full = code == "limit" and given.state.calls_left is not None
    return code if was_full or code in NOT_CALLABLE else None


def _is_under_way(given: DerivationContext) -> bool:
    """Whether the call has begun, so that what becomes of it comes from outside."""
    return given.is_running or given.step.path in given.state.calls


def _started(given: DerivationContext, recorded: NodeStarted) -> NodeStarted | None:
    room_below(given.state, given.step)
    is_new = not _is_under_way(given) and recorded.workflow_version is not None
    return replace(recorded, idempotency_key=None) if is_new else None


def _waiting(given: DerivationContext, call: Call, recorded: NodeWaiting) -> NodeWaiting | None:
    if not given.is_running or not call.wait:
        return None
    return replace(recorded, signal=None, execution_id=child_run_id(given.state, given.step.path, recorded.attempt))


def _ended(given: DerivationContext, call: Call, recorded: NodeSucceeded) -> NodeSucceeded | None:
    state, record, path = given.state, given.record, given.step.path
    if not _is_under_way(given) or call.wait != (path in state.calls):
        return None
    output = recorded.output if call.wait else {"execution_id": child_run_id(state, path, record.attempts)}
    return replace(recorded, output=output, handles=["out"], attempt=record.attempts)
