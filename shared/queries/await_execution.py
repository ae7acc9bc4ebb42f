"""Has this run ended in time?"""

from __future__ import annotations

import asyncio
import time

from shared.domain.execution import TERMINAL
from shared.repositories.executions import ExecutionRepository

FIRST_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 0.5


async def await_execution(
    executions: ExecutionRepository, tenant_id: str, execution_id: str, wait_seconds: float
) -> bool:
    """Whether the run has ended, looked at again and again for at most `wait_seconds`; at 0, not at all."""
    deadline, pause = time.monotonic() + wait_seconds, FIRST_POLL_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        row = await executions.get(tenant_id, execution_id)
        if row is not None and row["status"] in TERMINAL:
            return True
        pause = min(pause * 1.5, LONGEST_POLL_SECONDS)
    return False
