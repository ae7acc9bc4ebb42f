"""Graphs for the tests."""

from __future__ import annotations

from typing import Any

from shared.json_types import JsonObject

HOOK: JsonObject = {"id": "hook", "type": "webhook_trigger"}
STEP: JsonObject = {"id": "step", "type": "transform", "parameters": {"value": "{% $trigger.body %}"}}
EDGE: JsonObject = {"source": "hook", "target": "step"}


def draft(name: str = "Flow", **fields: Any) -> JsonObject:
    """A workflow's body: a webhook and one step, ready to publish."""
    return {"name": name, "nodes": [HOOK, STEP], "edges": [EDGE], **fields}


DOUBLING: JsonObject = {
    "name": "double",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "hand", "type": "manual_trigger"},
        {"id": "double", "type": "transform", "parameters": {"value": "{% $trigger.body.n * 2 %}"}},
    ],
    "edges": [{"source": "hook", "target": "double"}, {"source": "hand", "target": "double"}],
}
