"""The read models as the event store implies them: what every row must be, from the facts alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shared.domain import api_key, secret
from shared.domain.execution.fold import apply
from shared.domain.execution.row import row as execution_row
from shared.domain.execution.state import ExecutionState
from shared.domain.timestamps import in_utc
from shared.domain.webhook import state as webhook
from shared.domain.workflow import fold as workflow_fold
from shared.domain.workflow import state as workflow
from shared.domain.workflow.schedule_rows import schedule_rows
from shared.events.codec import by_name, decode
from shared.events.envelope import RecordedEvent
from shared.events.facts import Fact
from shared.events.workflow import WorkflowPublished
from shared.json_types import JsonObject

FACTS = by_name(Fact)

Row = JsonObject
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A read model. `beside` are its columns that follow from no event: secrets, hints, the moving lease and the
    moving tick."""

    name: str
    key: tuple[str, ...]
    beside: tuple[str, ...] = ()

    def key_of(self, row: Row) -> Key:
        """What identifies the row."""
        return tuple(row[column] for column in self.key)


# In the order in which they refer to each other.
TABLES = (
    Table("workflows", ("id",)),
    Table("workflow_versions", ("workflow_id", "version")),
    Table("schedules", ("workflow_id", "node_id"), ("next_at",)),
    Table("webhooks", ("id",), ("secret", "previous_secret", "last_triggered_at")),
    Table("api_keys", ("id",), ("key_hash", "last_used_at")),
    Table("secrets", ("id",), ("value",)),
    Table("executions", ("id",), ("wake_at",)),
)


class ReadModels:
    """The rows of every read model, by table and key, after the events taken in so far."""

    def __init__(self) -> None:
        """No rows."""
        self._workflows: dict[str, workflow.Workflow] = {}
        self._webhooks: dict[str, webhook.Webhook] = {}
        self._api_keys: dict[str, api_key.ApiKey] = {}
        self._secrets: dict[str, secret.Secret] = {}
        self._executions: dict[str, ExecutionState] = {}
        self._versions: dict[Key, Row] = {}
        self._schedules: dict[str, dict[str, Row]] = {}

    def take(self, events: Iterable[RecordedEvent]) -> ReadModels:
        """These read models after more events; those of a stream must come in its order."""
        for event in events:
            fact: Any = decode(FACTS, event.event_type, event.payload, event.metadata.get("schema_version", 1))
            happened_at = in_utc(event.timestamp) or event.timestamp
            place = (event.tenant_id, event.stream_id, happened_at)
            match event.stream_type:
                case "workflow":
                    before = self._workflows.get(event.stream_id)
                    after = workflow_fold.apply(before, fact, *place)
                    self._take_version(before, after, fact, happened_at)
                    if after.published_version != (before and before.published_version):
                        self._take_schedules(after, happened_at)
                    self._workflows[event.stream_id] = after
                case "webhook":
                    known = self._webhooks.get(event.stream_id)
                    self._webhooks[event.stream_id] = webhook.apply(known, fact, *place)
                case "api_key":
                    self._api_keys[event.stream_id] = api_key.apply(self._api_keys.get(event.stream_id), fact, *place)
                case "secret":
                    self._secrets[event.stream_id] = secret.apply(self._secrets.get(event.stream_id), fact, *place)
                case "execution":
                    if event.stream_id not in self._executions:
                        self._executions[event.stream_id] = ExecutionState(event.stream_id, event.tenant_id)
                    apply(self._executions[event.stream_id], fact, happened_at)
        return self

    def rows(self, table: Table) -> dict[Key, Row]:
        """The table's rows by key."""
        match table.name:
            case "workflows":
                rows = [workflow.row(state) for state in self._workflows.values()]
            case "workflow_versions":
                return dict(self._versions)
            case "schedules":
                rows = [row for nodes in self._schedules.values() for row in nodes.values()]
            case "webhooks":
                rows = [webhook.row(state) for state in self._webhooks.values()]
            case "api_keys":
                rows = [api_key.row(state) for state in self._api_keys.values()]
            case "secrets":
                rows = [secret.row(state) for state in self._secrets.values()]
            case _:
                rows = [{**execution_row(state, self._due_at(state))} for state in self._executions.values()]
        return {table.key_of(row): row for row in rows}

    def _due_at(self, state: ExecutionState) -> str | None:
        """A run that waits for a child run which has ended is due at once; no event of its own records that."""
        called = [self._executions.get(execution_id) for execution_id in state.calls.values()]
        return state.changed_at if any(child is not None and child.is_terminal for child in called) else None

    def _take_version(
        self, before: workflow.Workflow | None, after: workflow.Workflow, fact: object, happened_at: str
    ) -> None:
        if before is None or before.version != after.version:
            self._versions[after.id, after.version] = {**workflow.version_row(after)}
        if isinstance(fact, WorkflowPublished):
            self._versions[after.id, fact.version]["published_at"] = happened_at

    def _take_schedules(self, after: workflow.Workflow, happened_at: str) -> None:
        nodes = self._schedules.setdefault(after.id, {})
        for row in nodes.values():
            row["next_at"] = None
        for row in schedule_rows(after, happened_at) if after.published_version is not None else ():
            nodes[row["node_id"]] = {"workflow_id": after.id, "tenant_id": after.tenant_id, **row}
