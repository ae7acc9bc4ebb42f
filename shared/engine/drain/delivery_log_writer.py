"""Writes the delivery log's entries that intake left in Redis: once a second at most, in batches, one drain at a time.

While runs are being committed, lines go with their group commit; a call of their own is for when nothing else is
written, and for bodies that would hold the runs up. A line that the database refuses is put aside alone: the log names
it, a metric counts it, and all others are written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import get_args

from shared.domain.webhook.delivery_log import DeliveryLogEntry, Verdict
from shared.engine.drain.background_tasks import run_periodically
from shared.engine.run.journal import LARGE_BYTES
from shared.errors import UnavailableError
from shared.observability import count
from shared.queue.consumer import JobConsumer
from shared.queue.delivery_log import LogBatch
from shared.repositories.append import Append, Appended
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.webhooks import WebhookRepository

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
# How long lines wait for a commit to go with. A busy drain commits many times in this.
PATIENCE_SECONDS = 0.1
# Of a batch, when larger ones are not written in time: a line.
LEAST_SHARE = 0.005
# Bodies beyond this go on their own: a commit is what runs wait for.
CARRIED_BYTES = 65_536

_METRICS = {verdict: f"Deliveries{verdict.title().replace('_', '')}" for verdict in get_args(Verdict)}


class BatchingEventStore(EventStoreRepository):
    """The event store; what it appends takes entries of the delivery log along, unless it is large and takes
    the store long."""

    _waiting: tuple[Sequence[DeliveryLogEntry], asyncio.Future[bool]] | None = None

    async def carry(self, lines: Sequence[DeliveryLogEntry]) -> bool:
        """Whether the lines were written with something that was appended meanwhile."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting = (lines, future)
        try:
            await asyncio.wait([future], timeout=PATIENCE_SECONDS)
            return False if self._waiting is not None else await future
        finally:
            self._waiting = None

    async def append(self, appends: Sequence[Append], lines: Sequence[DeliveryLogEntry] = ()) -> list[Appended]:
        """As the event store does. Lines that the database does not take fail no run."""
        appended = await self._append(appends, lines)
        for one, outcome in zip(appends, appended, strict=True):
            if one.deliveries and outcome.status == "appended":
                count_deliveries(one.deliveries)
        return appended

    async def _append(self, appends: Sequence[Append], lines: Sequence[DeliveryLogEntry]) -> list[Appended]:
        if self._waiting is None or any(append.size_bytes >= LARGE_BYTES for append in appends):
            return await super().append(appends, lines)
        (carried, future), self._waiting = self._waiting, None
        try:
            appended = await super().append(appends, [*lines, *carried])
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001 -- of the runs or of the lines; whoever sends each finds the one that is refused
            _settle(future, False)
            return await super().append(appends, lines)
        else:
            _settle(future, True)
            return appended
        finally:
            # Whoever waits is told whatever happens, a cancellation too.
            _settle(future, False)


class DeliveryLogWriter:
    """One drain's writer."""

    def __init__(self, queue: JobConsumer, webhooks: WebhookRepository, events: BatchingEventStore, name: str) -> None:
        """`events` is what the drain's runs are committed through; `name` is the drain's alone."""
        self._queue, self._webhooks, self._events, self._name = queue, webhooks, events, name
        # How much is taken at once, of what is as a rule.
        self._share = 1.0

    async def run_forever(self) -> None:
        """Writes until it is cancelled."""
        await run_periodically("ledger", self._turn)

    async def _turn(self) -> float:
        return 0.0 if await self.write() else PAUSE_SECONDS

    async def write(self) -> bool:
        """Whether there is more: one batch is written, if there is any.

        One that is not written in its time is followed by a smaller one. Where hundreds of lines are refused, each has
        to be found, and the same batch would be taken, and not be written, for ever.
        """
        is_done = False
        try:
            batch = await self._queue.take_entries(self._name, self._share)
            if batch is None:
                is_done = True
                return False
            await self._write(batch)
            is_done = await self._queue.finish_entries(self._name, batch)
        except UnavailableError:
            # The lines stay where they are; another turn writes them, or another drain.
            return False
        except Exception:  # the delivery log is no reason for a drain to end; another turn tries again
            logger.exception("ledger_not_written")
            return False
        finally:
            self._share = min(1.0, self._share * 2) if is_done else max(LEAST_SHARE, self._share / 4)
        return batch.more or not is_done

    async def _write(self, batch: LogBatch) -> None:
        rows = [*batch.lines, *batch.counts]
        is_light = sum(len(line.get("body", "")) for line in rows) <= CARRIED_BYTES
        refused: set[str] = set()

        async def put_aside(line: DeliveryLogEntry, error: Exception) -> None:
            # A database that takes no lines at all refuses none at all too: then they wait.
            await self._webhooks.record([])
            refused.add(line["id"])
            _put_aside(line["tenant_id"], line["webhook_id"], str(error), delivery_id=line["id"])

        if rows and not (is_light and await self._events.carry(rows)):
            from shared.engine.drain.bisection import write_all  # as a rule they go with a commit

            await write_all(rows, self._webhooks.record, put_aside)
        count_deliveries([line for line in rows if line["id"] not in refused])
        for each in batch.refused:
            _put_aside(each.tenant_id, each.webhook_id, each.why)


def count_deliveries(lines: Sequence[DeliveryLogEntry]) -> None:
    """Counts lines that have been written, each under its verdict: `rejected_stale` is `DeliveriesRejectedStale`."""
    for line in lines:
        if line["verdict"] in _METRICS:  # a newer intake may know others
            count(_METRICS[line["verdict"]], line.get("count", 1))


def _put_aside(tenant_id: str | None, webhook_id: str | None, why: str, **fields: str) -> None:
    """Says of a line that it will not be written. Its text is not said: it is the sender's."""
    count("LedgerLinesPutAside")
    whose = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    logger.error("ledger_line_put_aside", extra={**whose, "error": why[:300], **fields})


def _settle(future: asyncio.Future[bool], carried: bool) -> None:
    if not future.done():
        future.set_result(carried)
