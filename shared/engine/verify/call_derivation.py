"""The facts of a node that calls a workflow, derived from the run's state to be compared with the recorded ones.

Which version was published, how long the node was to wait and how the child run ended are taken as recorded.
"""

from __future__ import annotations

from dataclasses import replace

from shared.engine.run.child_runs import NOT_CALLABLE, child_run_id, room_below
from shared.engine.verify.context import DerivationContext, UnderivableError
from shared.events.node import NodeStarted, NodeSucceeded, NodeWaiting
from shared.nodes.node_kinds import Call, CallRequest, NodeError, Parameters


async def derived_call(
    context: DerivationContext, kind: Call[Parameters], recorded: NodeStarted | NodeWaiting | NodeSucceeded
) -> NodeStarted | NodeWaiting | NodeSucceeded:
    """The beginning of a call, of its wait, or its success, as which of them `recorded` is.

    Where it may not stand it raises `UnderivableError`; a call that fails instead raises `NodeError`.
    """
    resolved, _, evaluated_at = await context.node_inputs.resolve(context.step, recorded.evaluated_at)
    request = kind.request(context.step.compiled.type.parse(resolved))
    fact: NodeStarted | NodeWaiting | NodeSucceeded | None
    if isinstance(recorded, NodeSucceeded):
        fact = _ended(context, request, replace(recorded, evaluated_at=evaluated_at))
    else:
        right = replace(recorded, attempt=context.record.attempt, parameters=resolved, evaluated_at=evaluated_at)
        fact = _started(context, right) if isinstance(right, NodeStarted) else _waiting(context, request, right)
    if fact is None:
        raise UnderivableError("The node's call has not come so far.")
    return fact


def call_code(context: DerivationContext, code: str) -> str | None:
    """The code with which a call with valid parameters fails where `code` is recorded, `None` where it does not."""
    if _is_under_way(context):
        return code
    try:
        room_below(context.state, context.step)
    except NodeError as error:
        return error.code
    # Nodes may have been skipped after the call's share was computed and before its failure was recorded.
    was_full = code == "limit" and context.state.calls_left is not None
    return code if was_full or code in NOT_CALLABLE else None


def _is_under_way(context: DerivationContext) -> bool:
    """Whether the call has begun, so that its result comes from outside."""
    return context.is_running or context.step.path in context.state.calls


def _started(context: DerivationContext, recorded: NodeStarted) -> NodeStarted | None:
    room_below(context.state, context.step)  # raises `NodeError` where the call is not allowed
    is_new = not _is_under_way(context) and recorded.workflow_version is not None
    return replace(recorded, idempotency_key=None) if is_new else None


def _waiting(context: DerivationContext, request: CallRequest, recorded: NodeWaiting) -> NodeWaiting | None:
    if not context.is_running or not request.wait:
        return None
    return replace(recorded, signal=None, execution_id=child_run_id(context.state, context.step.path, recorded.attempt))


def _ended(context: DerivationContext, request: CallRequest, recorded: NodeSucceeded) -> NodeSucceeded | None:
    state, record, path = context.state, context.record, context.step.path
    # A call that waits has recorded its wait before it succeeds, one that does not wait never records any.
    if not _is_under_way(context) or request.wait != (path in state.calls):
        return None
    output = recorded.output if request.wait else {"execution_id": child_run_id(state, path, record.attempts)}
    return replace(recorded, output=output, handles=["out"], attempt=record.attempts)
