"""Writes the ledger's lines that intake left in Redis: once a second at most, in batches, one drain at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from shared.errors import UnavailableError, WorkflowEngineError
from shared.ids import derived_id
from shared.queue.execution_queue import ExecutionQueue
from shared.queue.ledger import BATCH
from shared.repositories.webhooks import WebhookRepository

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0


class LedgerWriter:
    """One drain's writer."""

    def __init__(self, queue: ExecutionQueue, webhooks: WebhookRepository, name: str) -> None:
        """`name` is the drain's alone."""
        self._queue, self._webhooks, self._name = queue, webhooks, name

    async def keep(self) -> None:
        """Writes until it is cancelled."""
        while True:
            full = await self.write()
            await asyncio.sleep(0 if full else PAUSE_SECONDS)

    async def write(self) -> bool:
        """Whether there may be more: one batch is written, if there is any."""
        try:
            taken = await self._queue.take_notes(self._name)
            if taken is None:
                return False
            lines, counts = taken
            await self._webhooks.record(lines + [_count_row(field, count) for field, count in counts.items()])
            await self._queue.finish_notes(self._name, len(lines), counts)
        except UnavailableError:
            # The lines stay where they are; another turn writes them, or another drain.
            return False
        except WorkflowEngineError:
            logger.exception("ledger_not_written")
            return False
        return len(lines) == BATCH


def _count_row(field: str, count: int) -> dict[str, Any]:
    """The line of a flood: how many more there were in that minute."""
    tenant_id, webhook_id, verdict, minute = field.split(" ")
    return {
        "id": derived_id("count", field, str(count), str(int(time.time()) // 60)),
        "tenant_id": tenant_id,
        "webhook_id": webhook_id,
        "received_at": datetime.fromtimestamp(int(minute), UTC).isoformat(),
        "verdict": verdict,
        "reason": "counted",
        "headers": {},
        "size_bytes": 0,
        "count": count,
    }
