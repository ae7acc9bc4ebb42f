"""Builders of jobs, with only the fields that matter."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from shared.queue.job import ExecutionJob

TENANT = "01930000-0000-7000-8000-000000000001"


def resume(execution_id: str | None = None) -> ExecutionJob:
    """A job that continues an execution."""
    return ExecutionJob(TENANT, execution_id or str(uuid4()), "resume")


def delivery(execution_id: str | None = None, delivery_id: str | None = None, **fields: Any) -> ExecutionJob:
    """A job that starts an execution from a delivery."""
    body = {"delivery_id": delivery_id or str(uuid4()), "body": "{}", "body_encoding": "utf8", **fields}
    return ExecutionJob(TENANT, execution_id or str(uuid4()), "delivery", body)
