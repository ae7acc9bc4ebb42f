# ruff: noqa: N999  # a type's module has the type's name, and nobody imports it by statement
"""Goes on at `true` or at `false` and passes its input on."""

from __future__ import annotations

from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure
from shared.nodes.node_type import Condition, NodeType


class If(Parameters):
    """`condition` must yield true or false; an undefined one counts as false."""

    condition: Condition


def _compute(parameters: If, inputs: NodeInputs) -> Completed:
    return Completed(handles=("true" if parameters.condition else "false",), output_of=inputs.sources)


NODE = NodeType(
    "if",
    "If",
    If,
    Pure(_compute),
    handles=lambda _parameters: ("true", "false"),
    complete=lambda resolved: {"condition": False, **resolved},
)
