"""A run's row in `executions`, the read model of lists."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from shared.domain.execution.run_error import stored_error
from shared.domain.execution.state import ExecutionState
from shared.domain.json.values import storable
from shared.json_types import JsonObject

# The part of the trigger in the read model: never the body or the headers.
_TRIGGER_COLUMNS = ("type", "node_id", "webhook_id", "provider", "delivery_id", "delivery_key", "event_type")


class ExecutionRow(TypedDict):
    """A row of `executions`. `wake_at` is when an unfinished run is due at the latest; `tenant_id` is unset in rows
    that were read, all of which are the reader's own."""

    id: str
    tenant_id: NotRequired[str]
    workflow_id: str
    workflow_version: int | None
    status: str
    trigger: JsonObject
    webhook_id: str | None
    error: JsonObject | None
    parent_id: str | None
    forked_from: str | None
    replayed_from: str | None
    wake_at: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    stream_version: int


def row(state: ExecutionState, wake_at: str | None = None) -> ExecutionRow:
    """The run's row, with text that can be stored; `wake_at` overrides when an unfinished run is due."""
    trigger = {name: state.trigger[name] for name in _TRIGGER_COLUMNS if state.trigger.get(name) is not None}
    return {
        "id": state.id,
        "tenant_id": state.tenant_id,
        "workflow_id": state.workflow_id,
        "workflow_version": state.workflow_version,
        "status": state.status,
        "trigger": storable(trigger),
        "webhook_id": state.trigger.get("webhook_id"),
        "error": stored_error(state.error),
        "parent_id": state.parent_id,
        "forked_from": state.forked_from,
        "replayed_from": state.replayed_from,
        "wake_at": None if state.is_terminal else wake_at or state.wake_at,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "stream_version": state.stream_version,
    }
