"""Compares two runs node by node: the result of a replay's dry run."""

from __future__ import annotations

from shared.domain.execution.node_record import UNTOUCHED
from shared.domain.execution.state import ExecutionState
from shared.domain.execution.view import handle_view
from shared.domain.json.values import same_json
from shared.domain.workflow.graph import Graph
from shared.json_types import JsonObject

# The status of a node in a dry run whose effect or call has no outcome in the recorded run.
UNKNOWN = "unknown"
_COMPARED = ("status", "handle", "output", "error", "parameters")


def compared(original: ExecutionState, before: Graph, replayed: ExecutionState, graph: Graph) -> JsonObject:
    """`{original, replayed, same, nodes, first_difference}`; `graph` is the replay's, `before` the original's.

    `nodes` are `{id: {original, replayed, same}}` in topological order, null where a version has no such node.
    `first_difference` is `{node_id, field}` or null; its `node_id` is null where only the outcome of the run differs.
    Of errors the codes are compared; parameters are those of effects and of calls.
    """
    nodes: JsonObject = {}
    first: JsonObject | None = None
    for node_id in [*_in_order(graph), *(name for name in _in_order(before) if name not in graph.nodes)]:
        before_view = _node(original, node_id) if node_id in before.nodes else None
        after_view = _node(replayed, node_id, is_tried=True) if node_id in graph.nodes else None
        field = _difference(before_view, after_view)
        nodes[node_id] = {"original": before_view, "replayed": after_view, "same": field is None}
        if field is not None and first is None:
            first = {"node_id": node_id, "field": field}
    # The same nodes may still lead to another outcome: another version has other leaves.
    ends = _end(original), _end(replayed, is_tried=True)
    field = _difference(*ends)
    if field is not None and first is None:
        first = {"node_id": None, "field": field}
    return {
        "original": ends[0],
        "replayed": ends[1],
        "same": first is None,
        "nodes": nodes,
        "first_difference": first,
    }


def _in_order(graph: Graph) -> list[str]:
    """The node ids in topological order: a node has more ancestors than any of its ancestors."""
    return sorted(graph.nodes, key=lambda node_id: len(graph.ancestors(node_id)))


def _end(state: ExecutionState, *, is_tried: bool = False) -> JsonObject:
    status = UNKNOWN if is_tried and not state.is_terminal else state.status
    view = {"workflow_version": state.workflow_version, "status": status}
    return {**view, "output": state.output, "error": state.error}


def _node(state: ExecutionState, node_id: str, *, is_tried: bool = False) -> JsonObject:
    record = state.nodes.get(node_id, UNTOUCHED)
    # In a dry run nothing is under way: a node that has begun and not ended got no outcome.
    status = UNKNOWN if is_tried and record.status in ("running", "waiting") else record.status
    view = {"status": status, "handle": handle_view(record), "output": record.output, "error": record.error}
    return {**view, "parameters": record.parameters} if record.asks_outside else view


def _difference(original: JsonObject | None, replayed: JsonObject | None) -> str | None:
    """The first field in which the two differ; `None` where they are the same."""
    if original is None or replayed is None:
        return None if original is replayed else "status"
    if replayed["status"] == UNKNOWN and original["status"] not in ("succeeded", "failed", "skipped"):
        # The node has not ended in the original either.
        return None if same_json(original.get("parameters"), replayed.get("parameters")) else "parameters"
    for field in _COMPARED:
        left, right = original.get(field), replayed.get(field)
        # Messages may differ in what they quote; the code decides.
        if field == "error":
            left, right = (left or {}).get("code"), (right or {}).get("code")
        if not same_json(left, right):
            return field
    return None
