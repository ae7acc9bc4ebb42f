"""Builders of jobs, with only the fields that matter, and of the queue's parts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from shared.bootstrap import Services
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from shared.repositories.database import Database
from shared.settings import Settings

TENANT = "01930000-0000-7000-8000-000000000001"


def services_of(settings: Settings) -> Services:
    """The parts of the queue that the settings name; no database is asked."""
    return Services(Database(settings.supabase_url, settings.supabase_key), settings)


def resume(execution_id: str | None = None) -> ExecutionJob:
    """A job that continues an execution."""
    return ExecutionJob(TENANT, execution_id or str(uuid4()), "resume")


def delivery(execution_id: str | None = None, delivery_id: str | None = None, **fields: Any) -> ExecutionJob:
    """A job that starts an execution from a delivery."""
    return ExecutionJob(TENANT, execution_id or str(uuid4()), "delivery", delivered(delivery_id, **fields))


ONE, TWO = "01930000-0000-7000-8000-00000000000a", "01930000-0000-7000-8000-00000000000b"


def delivered(delivery_id: str | None = None, **fields: Any) -> JsonObject:
    """A delivery as it stands in a job."""
    return {
        "workflow_id": str(uuid4()),
        "node_id": None,
        "webhook_id": str(uuid4()),
        "provider": "github",
        "delivery_id": delivery_id or str(uuid4()),
        "delivery_key": "key",
        "event_type": None,
        "received_at": "2026-11-30T12:00:00Z",
        "method": "POST",
        "headers": {},
        "query": {},
        "body": "{}",
        "body_encoding": "utf8",
        "body_sha256": "0" * 64,
        "size_bytes": 2,
        "content_type": "application/json",
        **fields,
    }
