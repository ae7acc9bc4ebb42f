"""Writes the ledger's lines that intake left in Redis: once a second at most, in batches, one drain at a time.

While runs are being committed, lines go with their group commit; a call of their own is for when nothing else is
written, and for bodies that would hold the runs up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.errors import UnavailableError, WorkflowEngineError
from shared.ids import derived_id
from shared.observability import count
from shared.queue.execution_queue import ExecutionQueue
from shared.queue.ledger import Notes
from shared.repositories.event_store import Append, Appended, EventStoreRepository
from shared.repositories.webhooks import WebhookRepository

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
# How long lines wait for a commit to go with. A busy drain commits many times in this.
PATIENCE_SECONDS = 0.1
# Bodies beyond this go on their own: a commit is what runs wait for.
CARRIED_BYTES = 65_536

Line = dict[str, Any]


class CarryingEvents(EventStoreRepository):
    """The event store; what it appends takes lines of the ledger along."""

    _waiting: tuple[Sequence[Line], asyncio.Future[bool]] | None = None

    async def carry(self, lines: Sequence[Line]) -> bool:
        """Whether the lines were written with something that was appended meanwhile."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting = (lines, future)
        try:
            await asyncio.wait([future], timeout=PATIENCE_SECONDS)
            return False if self._waiting is not None else await future
        finally:
            self._waiting = None

    async def append(self, appends: Sequence[Append], lines: Sequence[Line] = ()) -> list[Appended]:
        """As the event store does. Lines that the database does not take fail no run."""
        appended = await self._append(appends, lines)
        for one, outcome in zip(appends, appended, strict=True):
            if one.deliveries and outcome.status == "appended":
                count_deliveries(one.deliveries)
        return appended

    async def _append(self, appends: Sequence[Append], lines: Sequence[Line]) -> list[Appended]:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return await super().append(appends, lines)
        carried, future = waiting
        try:
            appended = await super().append(appends, [*lines, *carried])
        except UnavailableError:
            _settle(future, False)
            raise
        except WorkflowEngineError:
            _settle(future, False)
            return await super().append(appends, lines)
        _settle(future, True)
        return appended


class LedgerWriter:
    """One drain's writer."""

    def __init__(self, queue: ExecutionQueue, webhooks: WebhookRepository, events: CarryingEvents, name: str) -> None:
        """`events` is what the drain's runs are committed through; `name` is the drain's alone."""
        self._queue, self._webhooks, self._events, self._name = queue, webhooks, events, name

    async def keep(self) -> None:
        """Writes until it is cancelled."""
        while True:
            more = await self.write()
            await asyncio.sleep(0 if more else PAUSE_SECONDS)

    async def write(self) -> bool:
        """Whether there is more: one batch is written, if there is any."""
        try:
            notes = await self._queue.take_notes(self._name)
            if notes is None:
                return False
            lines = rows_of(notes)
            is_light = sum(len(line.get("body", "")) for line in lines) <= CARRIED_BYTES
            if not (is_light and await self._events.carry(lines)):
                await self._webhooks.record(lines)
            count_deliveries(lines)
            await self._queue.finish_notes(self._name, notes)
        except UnavailableError:
            # The lines stay where they are; another turn writes them, or another drain.
            return False
        except WorkflowEngineError:
            logger.exception("ledger_not_written")
            return False
        return notes.more


def rows_of(notes: Notes) -> list[Line]:
    """The rows to be written: the lines, and for each flood how many more there were in a minute. Always the same ones
    for the same notes."""
    rows = list(notes.lines)
    for field, number in notes.counts.items():
        tenant_id, webhook_id, verdict, minute = field.split(" ")
        rows.append(
            {
                "id": derived_id("count", field, notes.batch),
                "tenant_id": tenant_id,
                "webhook_id": webhook_id,
                "received_at": datetime.fromtimestamp(int(minute), UTC).isoformat(),
                "verdict": verdict,
                "reason": "counted",
                "execution_id": None,
                "headers": {},
                "size_bytes": 0,
                "count": number,
            }
        )
    return rows


def count_deliveries(lines: Sequence[Line]) -> None:
    """Counts lines that have been written, each under its verdict: `rejected_stale` is `DeliveriesRejectedStale`."""
    for line in lines:
        count(f"Deliveries{line['verdict'].title().replace('_', '')}", line.get("count", 1))


def _settle(future: asyncio.Future[bool], carried: bool) -> None:
    if not future.done():
        future.set_result(carried)
