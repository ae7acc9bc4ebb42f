"""Joins branches. Its `join` says which of them it waits for, its `mode` what it yields."""

from __future__ import annotations

from typing import Literal

from shared.nodes.node_kinds import Completed, NodeError, NodeInputs, Parameters, Pure
from shared.nodes.node_type import MAX_JOINED_BYTES, NodeType


class Merge(Parameters):
    """`list`: the live branches' outputs in the order of the edges; `object`: by node id; `first`: the first one's."""

    mode: Literal["list", "object", "first"] = "list"


def _compute(parameters: Merge, inputs: NodeInputs) -> Completed:
    if parameters.mode == "first":
        return Completed(output_of=inputs.sources[:1])
    if inputs.size_bytes > MAX_JOINED_BYTES:
        # Checked by the inputs' sizes: the output would have to be serialized to be measured.
        message = f"The branches have {inputs.size_bytes} bytes; a node may bring {MAX_JOINED_BYTES} together."
        raise NodeError("limit", message)
    if parameters.mode == "object":
        return Completed({source: inputs.outputs[source] for source in inputs.sources})
    return Completed([inputs.outputs[source] for source in inputs.sources])


NODE = NodeType("merge", "Merge", Merge, Pure(_compute))
