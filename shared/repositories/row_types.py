"""What the rows hold that repositories read, column by column. For the type checker alone: nothing imports it at run
time. Rows that are written as well are typed where they are made (`ExecutionRow`, `WorkflowVersionRow`,
`DeliveryLogEntry`)."""

from __future__ import annotations

from typing import NotRequired, TypedDict, final

from shared.domain.actor import Role
from shared.json_types import JsonObject


class WorkflowSummaryRow(TypedDict):
    """A row of `workflows` without its graph. `published_version` is unset where no version is published."""

    id: str
    name: str
    description: str | None
    tags: list[str]
    settings: JsonObject
    status: str
    version: int
    published_version: int | None
    created_at: str
    updated_at: str


class WorkflowRow(WorkflowSummaryRow):
    """A row of `workflows`, its draft's graph included."""

    nodes: list[JsonObject]
    edges: list[JsonObject]
    stream_version: int


class WebhookRow(TypedDict):
    """A row of `webhooks`, without its secrets."""

    id: str
    tenant_id: str
    name: str
    workflow_id: str
    node_id: str | None
    provider: str
    config: JsonObject
    status: str
    previous_secret_expires_at: str | None
    last_triggered_at: str | None
    stream_version: int
    created_at: str
    updated_at: str


class IntakeWebhookRow(WebhookRow):
    """A webhook with its encrypted secrets, which intake needs to verify deliveries."""

    secret: str | None
    previous_secret: str | None
    published_version: NotRequired[int | None]


class DeliveryRow(TypedDict):
    """A row of `webhook_deliveries` as it is read. `verified` is unset in rows older than the column; `count` is how
    many deliveries the row stands for."""

    id: str
    webhook_id: str
    received_at: str
    verdict: str
    reason: str | None
    delivery_key: str | None
    event_type: str | None
    execution_id: str | None
    method: str | None
    headers: dict[str, str]
    query: dict[str, str] | None
    body_sha256: str | None
    size_bytes: int
    count: int
    verified: bool | None


class ApiKeyRow(TypedDict):
    """A row of `api_keys`; `key_hash` is there for the authorizer alone."""

    id: str
    tenant_id: str
    name: str
    role: Role
    scopes: list[str]
    status: str
    expires_at: str | None
    last_used_at: str | None
    stream_version: int
    created_at: str
    updated_at: str
    key_hash: NotRequired[str | None]


class SecretRow(TypedDict):
    """A row of `secrets`, without the value."""

    id: str
    tenant_id: str
    name: str
    status: str
    stream_version: int
    created_at: str
    updated_at: str
    allowed_hosts: list[str] | None


class ScheduleRow(TypedDict):
    """A row of `schedules`; `next_at` is unset where the workflow is not published."""

    node_id: str
    version: int
    cron: str
    timezone: str
    next_at: str | None


@final
class ClaimedRun(TypedDict):
    """A run that is due, leased to the drain that claimed it."""

    tenant_id: str
    execution_id: str


class _DueSchedule(TypedDict):
    tenant_id: str
    workflow_id: str
    node_id: str
    version: int
    cron: str
    timezone: str
    due_at: str


@final
class ClaimedSchedule(_DueSchedule):
    """A schedule whose tick at `due_at` is due, leased to the drain that claimed it."""


ClaimedRow = ClaimedRun | ClaimedSchedule


@final
class AdvancedSchedule(_DueSchedule):
    """A schedule whose tick at `due_at` has started its run; `next_at` is its next tick, unset where none comes."""

    next_at: str | None


class InvariantViolation(TypedDict):
    """A run, or a workflow's schedule, that is overdue."""

    invariant: str
    execution_id: NotRequired[str]
    workflow_id: NotRequired[str]
    detail: str
