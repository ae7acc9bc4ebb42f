"""Yields `value`: any JSON, with its expressions evaluated. An undefined value yields null."""

from __future__ import annotations

from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure
from shared.nodes.node_type import NodeType


class Transform(Parameters):
    """`value` is the output."""

    value: object = None


def _compute(parameters: Transform, _inputs: NodeInputs) -> Completed:
    return Completed(parameters.value)


NODE = NodeType("transform", "Transform", Transform, Pure(_compute), needs=("value",))
