"""A run starts by hand through the API or another queue client; `$trigger.body` is the input that was given."""

from __future__ import annotations

from shared.nodes.node_type import NodeType, Parameters, Schema


class ManualTrigger(Parameters):
    """`input_schema` is the JSON Schema that the input of `POST /api/workflows/{id}/execute` must fit."""

    input_schema: Schema | None = None


NODE = NodeType("manual_trigger", "Manual start", ManualTrigger, verbatim=frozenset({"input_schema"}))
