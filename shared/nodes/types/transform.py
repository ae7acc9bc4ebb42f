"""Yields `value`: any JSON, with expressions filled in. A value that leads nowhere yields null."""

from __future__ import annotations

from typing import Any

from shared.nodes.node_type import Completed, NodeInputs, NodeType, Parameters


class Transform(Parameters):
    """`value` is the output."""

    value: Any = None


def _run(parameters: Transform, _inputs: NodeInputs) -> Completed:
    return Completed(parameters.value)


NODE = NodeType("transform", "Transform", Transform, run=_run, needs=("value",))
