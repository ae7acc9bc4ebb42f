"""Waits for `POST /api/executions/{id}/signals/{name}` and yields the signal's payload.

A signal that was received earlier is taken at once. After `timeout_seconds` without one, the handle `timeout` is chosen
and the output is null.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shared.domain.timestamps import MAX_DURATION_SECONDS
from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure, Wait
from shared.nodes.node_type import NodeType, Schema


class WaitForSignal(Parameters):
    """`schema` is the JSON Schema that the payload must fit; `timeout_seconds` is at most 366 days, as when unset."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_DURATION_SECONDS)] = MAX_DURATION_SECONDS
    payload_schema: Schema | None = Field(None, alias="schema")


def _wait(parameters: WaitForSignal, now: float) -> Wait:
    return Wait(now + parameters.timeout_seconds, parameters.name)


def _compute(_parameters: WaitForSignal, inputs: NodeInputs) -> Completed:
    if inputs.signal is None:  # the wait is over without one
        return Completed(handles=("timeout",))
    return Completed(inputs.signal.payload)


NODE = NodeType(
    "wait_for_signal",
    "Wait for a signal",
    WaitForSignal,
    Pure(_compute, _wait),
    handles=lambda _parameters: ("out", "timeout"),
)
