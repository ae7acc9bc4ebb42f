"""The events of a run, also those that come next."""

from __future__ import annotations

import asyncio
import time

from shared.domain.execution.state import TERMINAL
from shared.errors import NotFoundError
from shared.queries.event_view import described
from shared.queries.executions.queued_delivery import Peek, queued_delivery
from shared.queries.page import Page
from shared.queries.response_size import fitting
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository

FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.5
# The largest value of the database's column.
HIGHEST_VERSION = 2**31 - 1


async def list_execution_events(
    events: EventStoreRepository,
    executions: ExecutionRepository,
    peek: Peek,
    tenant_id: str,
    execution_id: str,
    after: int,
    limit: int,
    wait_seconds: float = 0,
) -> Page[int]:
    """The run's events after version `after`, in order.

    Where there are none, waits up to `wait_seconds` for the next ones (long polling), unless the run has ended.
    Raises `NotFoundError` for an unknown run; a queued one is known.
    """
    after = min(after, HIGHEST_VERSION)
    deadline = time.monotonic() + wait_seconds
    recorded, more = await events.read_page(tenant_id, execution_id, after, limit)
    if not recorded:
        more_may_come = await _more_may_come(executions, peek, tenant_id, execution_id, after)
        pause = 0.0  # events since the first read are there already
        while more_may_come and not recorded and time.monotonic() + pause < deadline:
            await asyncio.sleep(pause)
            # Backs off: short pauses while events come quickly, few queries while none come.
            pause = min(max(pause * 1.5, FIRST_POLL_SECONDS), LONGEST_POLL_SECONDS)
            recorded, more = await events.read_page(tenant_id, execution_id, after, limit)
    items = fitting([described(event) for event in recorded])
    return Page(items, items[-1]["stream_version"] if more or len(items) < len(recorded) else None)


async def _more_may_come(
    executions: ExecutionRepository, peek: Peek, tenant_id: str, execution_id: str, after: int
) -> bool:
    """Whether there are events after version `after` by now, or may be later."""
    row = await executions.get(tenant_id, execution_id)
    if row is None:
        if await queued_delivery(peek, tenant_id, execution_id) is not None:
            return True
        # Between the two reads a drain may have started the run, and even ended it.
        row = await executions.get(tenant_id, execution_id)
    if row is None:
        raise NotFoundError("There is no such execution.")
    return row["stream_version"] > after or row["status"] not in TERMINAL
