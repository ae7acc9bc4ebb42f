"""A tenant's engine on a database of its own, for drains in other processes that may be killed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from shared.domain.execution.state import ExecutionState
from shared.json_types import JsonObject
from shared.queue.job import ExecutionJob
from tests.integration.engine.harness import EngineHarness
from tests.integration.engine.sink import Sink

# Short enough for a test, and longer than a drain needs between two renewals.
LOCK_SECONDS = LEASE_SECONDS = 0.6
RECOVERY_SECONDS = 60.0


@dataclass
class FaultHarness:
    """A tenant's engine on a database of its own, with what a drain in another process needs to know."""

    harness: EngineHarness
    sink: Sink
    environment: dict[str, str]

    async def die_at(self, point: str) -> int:
        """How a drain ended that was to die at a point."""
        arguments = (sys.executable, "-m", "tests.faults.dying_drain", point)
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env={**os.environ, **self.environment, "DRAIN_LINGER_SECONDS": "5"},
            cwd=Path(__file__).parents[2],
        )
        return await process.wait()

    async def violations(self, overdue_seconds: float) -> list[JsonObject]:
        """What `/health/invariants` names."""
        return await self.harness.services.executions.invariant_violations(overdue_seconds)

    async def called(self, jobs: list[ExecutionJob]) -> list[ExecutionJob]:
        """The runs that these have called."""
        ids = [job.execution_id for job in jobs]
        rows = await self.harness.services.database.select(
            "executions", "id", lambda query: query.in_("parent_id", ids)
        )
        return [ExecutionJob(self.harness.tenant_id, row["id"], "resume") for row in rows]

    async def recover(self, jobs: list[ExecutionJob]) -> list[ExecutionState]:
        """The runs, once healthy drains have brought all of them to their end."""
        ends_at = time.monotonic() + RECOVERY_SECONDS
        while True:
            await self.harness.drain(10)
            rows = [await self.harness.services.executions.get(job.tenant_id, job.execution_id) for job in jobs]
            if all(row is not None and row["finished_at"] for row in rows):
                return [await self.harness.state(job) for job in jobs]
            assert time.monotonic() < ends_at, [row and row["status"] for row in rows]
