"""A run starts by hand through the API or another queue client; `$trigger.body` is the input that was given."""

from __future__ import annotations

from typing import Any

from shared.nodes.node_type import NodeType, Parameters


class ManualTrigger(Parameters):
    """`input_schema` documents the input's shape as a JSON Schema; it is shown, not enforced."""

    input_schema: dict[str, Any] | None = None


NODE = NodeType("manual_trigger", "Manual start", ManualTrigger)
