"""Passes its input on while `condition` holds, and stops this branch quietly when it does not."""

from __future__ import annotations

from shared.nodes.node_kinds import Completed, NodeInputs, Parameters, Pure
from shared.nodes.node_type import Condition, NodeType


class Filter(Parameters):
    """`condition` must yield true or false; an undefined one counts as false."""

    condition: Condition


def _compute(parameters: Filter, inputs: NodeInputs) -> Completed:
    return Completed(handles=("out",) if parameters.condition else (), output_of=inputs.sources)


NODE = NodeType("filter", "Filter", Filter, Pure(_compute), complete=lambda resolved: {"condition": False, **resolved})
