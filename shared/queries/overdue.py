"""Metrics of runs that are overdue."""

from __future__ import annotations

import time

from shared.domain.timestamps import timestamp, unix_seconds
from shared.repositories.database import Database
from shared.repositories.executions import ExecutionRepository


async def overdue(database: Database, executions: ExecutionRepository) -> dict[str, float]:
    """`{InvariantViolations, OldestDueSeconds}`: how many invariants are violated, and for how long the oldest due run
    has been due. Raises `StorageUnavailableError`."""
    now = time.time()
    due = await database.select(
        "executions", "wake_at", lambda query: query.lt("wake_at", timestamp(now)).order("wake_at").limit(1)
    )
    return {
        "InvariantViolations": float(len(await executions.invariant_violations())),
        "OldestDueSeconds": now - unix_seconds(due[0]["wake_at"]) if due else 0.0,
    }
