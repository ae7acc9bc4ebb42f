"""A run's row in `executions`, the read model that lists are made of."""

from __future__ import annotations

from typing import Any

from shared.domain.execution import ExecutionState

JsonObject = dict[str, Any]

# What of the trigger stands in the read model's row: never the body or the headers.
_TRIGGER_COLUMNS = ("type", "node_id", "webhook_id", "provider", "delivery_id", "delivery_key", "event_type")


def row(state: ExecutionState, wake_at: str | None = None) -> JsonObject:
    """The run's row in `executions`; `wake_at` overrides when somebody must look at an unfinished run again."""
    return {
        "id": state.id,
        "tenant_id": state.tenant_id,
        "workflow_id": state.workflow_id,
        "workflow_version": state.workflow_version,
        "status": state.status,
        "trigger": {name: state.trigger[name] for name in _TRIGGER_COLUMNS if state.trigger.get(name) is not None},
        "webhook_id": state.trigger.get("webhook_id"),
        "error": state.error,
        "parent_id": state.parent_id,
        "forked_from": state.forked_from,
        "replayed_from": state.replayed_from,
        "wake_at": None if state.is_terminal else wake_at or state.wake_at,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "stream_version": state.stream_version,
    }
