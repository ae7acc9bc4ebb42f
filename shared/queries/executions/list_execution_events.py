"""The events of a run, also those that come next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from shared.domain.execution.state import TERMINAL
from shared.errors import NotFoundError, ThrottledError
from shared.events.envelope import RecordedEvent
from shared.queries.event_view import described
from shared.queries.executions.queued_delivery import Peek, queued_delivery
from shared.queries.page import Page
from shared.queries.response_size import fitting
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.executions import ExecutionRepository

if TYPE_CHECKING:
    from shared.queue.waiting_clients import WaitingClients

FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.5
TOO_MANY_WAITS = "As many of this tenant's requests wait as may (TENANT_MAX_WAITS); ask again later, or without `wait`."
# A client that asks again at once would only make as many requests as it can.
RETRY_SECONDS = 2
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
    waiting: WaitingClients | None = None,
) -> Page[int]:
    """The run's events after version `after`, in order.

    Where there are none, waits up to `wait_seconds` for the next ones (long polling), unless the run has ended.
    Raises `NotFoundError` for an unknown run; a queued one is known. Raises `ThrottledError` instead of waiting where
    `waiting` counts as many clients of the tenant's as may wait.
    """
    after = min(after, HIGHEST_VERSION)
    deadline = time.monotonic() + wait_seconds
    recorded, more = await events.read_page(tenant_id, execution_id, after, limit)
    if not recorded:
        more_may_come = await _more_may_come(executions, peek, tenant_id, execution_id, after)
        if more_may_come and wait_seconds > 0:
            read = partial(events.read_page, tenant_id, execution_id, after, limit)
            async with waiting.waiting(tenant_id, wait_seconds) if waiting is not None else nullcontext(True) as may:
                if not may:
                    raise ThrottledError(TOO_MANY_WAITS, retry_after_seconds=RETRY_SECONDS)
                recorded, more = await _next_events(read, deadline)
    items = fitting([described(event) for event in recorded])
    return Page(items, items[-1]["stream_version"] if more or len(items) < len(recorded) else None)


async def _next_events(
    read: Callable[[], Awaitable[tuple[list[RecordedEvent], bool]]], deadline: float
) -> tuple[list[RecordedEvent], bool]:
    """What `read` finds as soon as that is something, or nothing when the time is up."""
    pause = 0.0  # events since the first read are there already
    recorded: list[RecordedEvent] = []
    more = False
    while not recorded and time.monotonic() + pause < deadline:
        await asyncio.sleep(pause)
        # Backs off: short pauses while events come quickly, few queries while none come.
        pause = min(max(pause * 1.5, FIRST_POLL_SECONDS), LONGEST_POLL_SECONDS)
        recorded, more = await read()
    return recorded, more


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
