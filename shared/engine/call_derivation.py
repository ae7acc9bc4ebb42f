"""The facts of a node that calls a workflow, derived from the run's state for those that are recorded.

Which version was published, how long the node was to wait and how the called run ended come from outside.
"""

from __future__ import annotations

from dataclasses import replace

from shared.domain.execution import ExecutionState
from shared.domain.node_record import NodeRecord
from shared.engine.calls import NOT_CALLABLE, called_id, refuse_depth
from shared.engine.scopes import Step
from shared.events.execution import NodeStarted, NodeSucceeded, NodeWaiting
from shared.nodes.node_type import Call, NodeError


def is_under_way(state: ExecutionState, record: NodeRecord | None, path: str) -> bool:
    """Whether the call has begun, so that what becomes of it comes from outside."""
    return record is not None and (record.status == "running" or path in state.calls)


def begun_call(
    state: ExecutionState, step: Step, record: NodeRecord | None, call: Call, recorded: NodeStarted | NodeWaiting
) -> NodeStarted | NodeWaiting | None:
    """The beginning of a call or of its wait, whichever is recorded; `None` where neither may stand.

    `recorded` is taken over with the parameters and the attempt that it should have.
    """
    if isinstance(recorded, NodeStarted):
        refuse_depth(state)
        is_new = not is_under_way(state, record, step.path) and recorded.workflow_version is not None
        return replace(recorded, idempotency_key=None) if is_new else None
    if record is None or record.status != "running" or not call.wait:
        return None
    return replace(recorded, signal=None, execution_id=called_id(state, step.path, recorded.attempt))


def ended_call(
    state: ExecutionState, step: Step, record: NodeRecord | None, call: Call, recorded: NodeSucceeded
) -> NodeSucceeded | None:
    """The end of a successful call; `None` where none may stand."""
    if record is None or not is_under_way(state, record, step.path) or call.wait != (step.path in state.calls):
        return None
    output = recorded.output if call.wait else {"execution_id": called_id(state, step.path, record.attempts)}
    return replace(recorded, output=output, handles=["out"], attempt=record.attempts)


def call_code(state: ExecutionState, record: NodeRecord | None, path: str, code: str) -> str | None:
    """The code with which a call with parameters that fit fails, `None` where it does not."""
    if is_under_way(state, record, path):
        return code
    try:
        refuse_depth(state)
    except NodeError as error:
        return error.code
    return code if code in NOT_CALLABLE else None
