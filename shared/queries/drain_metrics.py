"""What a drain did and what is overdue, as metrics."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from shared.domain.timestamps import timestamp, unix_seconds
from shared.errors import WorkflowEngineError
from shared.observability import emit
from shared.repositories.database import Database
from shared.repositories.executions import ExecutionRepository

logger = logging.getLogger(__name__)
METRICS = {
    "RunsCompleted": "completed",
    "RunsDelayed": "delayed",
    "RunsFailed": "failed",
    "RunsSwept": "swept",
    "RunsHandedBack": "handed_back",
}


async def drain_metrics(
    database: Database, executions: ExecutionRepository, summary: Mapping[str, int], seconds: float, is_scheduled: bool
) -> None:
    """Written; a scheduled drain, of which there is one a minute, looks for what is overdue too."""
    values = {name: float(summary[key]) for name, key in METRICS.items()} | {"DrainSeconds": round(seconds, 3)}
    if is_scheduled:
        try:
            values["InvariantViolations"] = float(len(await executions.invariant_violations()))
            values["OldestDueSeconds"] = await _oldest_due_seconds(database)
        except WorkflowEngineError as error:
            logger.warning("metrics_incomplete", extra={"error": type(error).__name__})
    emit(values, service="drain")


async def _oldest_due_seconds(database: Database) -> float:
    now = time.time()
    due = await database.select(
        "executions", "wake_at", lambda query: query.lt("wake_at", timestamp(now)).order("wake_at").limit(1)
    )
    return now - unix_seconds(due[0]["wake_at"]) if due else 0.0
