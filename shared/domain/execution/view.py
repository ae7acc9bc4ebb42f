"""A run, and each of its nodes, as the API shows them."""

from __future__ import annotations

from shared.domain.execution.node_record import NodeRecord
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import timestamp
from shared.json_types import JsonObject


def view(state: ExecutionState) -> JsonObject:
    """The whole run as the API shows it, without the nodes that have no facts: those are `pending`."""
    shown: JsonObject = {
        "id": state.id,
        "workflow_id": state.workflow_id,
        "workflow_version": state.workflow_version,
        "status": state.status,
        "trigger": state.trigger,
        "output": state.output,
        "nodes": {node_id: node_view(record) for node_id, record in state.nodes.items()},
        "created_at": state.created_at,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
    }
    if state.caller is not None and state.caller["node_id"] is not None:
        shown["parent_node_id"] = state.caller["node_id"]
    if state.error_run is not None:
        shown["error_execution_id"] = state.error_run.execution_id
    optional = ("error", "response", "parent_id", "forked_from", "replayed_from")
    return {**shown, **{name: getattr(state, name) for name in optional if getattr(state, name) is not None}}


def node_view(record: NodeRecord) -> JsonObject:
    """One node as the API shows it; `handle` is a list where a switch chose several."""
    # Nodes without effects have no start event: the clock of their evaluation is as good.
    started_at = record.started_at
    if started_at is None and record.evaluated_at is not None:
        started_at = timestamp(record.evaluated_at / 1000)
    shown: JsonObject = {
        "status": record.status,
        "attempts": record.attempts,
        "started_at": started_at,
        "finished_at": record.finished_at,
    }
    if record.status == "succeeded" or record.output is not None:
        shown["output"] = record.output
    if record.error is not None:
        shown["error"] = record.error
    if record.handles:
        shown["handle"] = handle_view(record)
    if record.undefined:
        shown["undefined"] = list(record.undefined)
    if record.retry_at is not None:
        shown["retry_at"] = record.retry_at
    if record.wake_at is not None:
        shown["wake_at"] = record.wake_at
        if record.signal is not None:
            shown["signal"] = record.signal
    if record.called is not None:
        shown["execution_id"] = record.called
    if record.items is not None:
        shown["items"] = record.items.view()
    return shown


def handle_view(record: NodeRecord) -> str | list[str] | None:
    """The handle that the node chose, `None` where it chose none; a list where a switch chose several."""
    return list(record.handles) if len(record.handles) > 1 else next(iter(record.handles), None)
