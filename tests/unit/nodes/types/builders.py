"""What tests of node types run them with."""

from __future__ import annotations

from typing import Any

from shared.nodes.node_kinds import Completed, NodeInputs
from shared.nodes.registry import node_type

INPUTS = NodeInputs(("a", "b"), {"a": 1, "b": {"x": 2}})


def run(name: str, **parameters: Any) -> Completed:
    """One pure node after two live predecessors."""
    type_ = node_type(name)
    return type_.kind.compute(type_.parse(parameters), INPUTS)
