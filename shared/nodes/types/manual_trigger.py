"""A run is started by hand, through the API or another queue client; `$trigger.body` is its input."""

from __future__ import annotations

from shared.nodes.node_kinds import Parameters, Trigger
from shared.nodes.node_type import NodeType, Schema


class ManualTrigger(Parameters):
    """`input_schema` is the JSON Schema that the input of `POST /api/workflows/{id}/execute` must fit."""

    input_schema: Schema | None = None


NODE = NodeType("manual_trigger", "Manual start", ManualTrigger, Trigger(), verbatim=frozenset({"input_schema"}))
