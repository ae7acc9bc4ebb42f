"""Workflows for the tests."""

from __future__ import annotations

from typing import Any

DOUBLING: dict[str, Any] = {
    "name": "double",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "hand", "type": "manual_trigger"},
        {"id": "double", "type": "transform", "parameters": {"value": "{% $trigger.body.n * 2 %}"}},
    ],
    "edges": [{"source": "hook", "target": "double"}, {"source": "hand", "target": "double"}],
}
