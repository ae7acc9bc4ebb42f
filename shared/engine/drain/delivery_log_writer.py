"""Writes the delivery log's entries that intake left in Redis: once a second at most, in batches, one drain at a time.

While runs are being committed, entries ride along with the journal's group commits; a call of their own is for when
nothing else is written, and for bodies that would hold the runs up. An entry that the database refuses is put aside
alone: the log names it, a metric counts it, and all others are written. The entry of a delivery that starts a run goes
with the run's first append instead (`engine/run/executor.py`).
"""

from __future__ import annotations

import logging

from shared.domain.webhook.delivery_log import DeliveryLogEntry
from shared.engine.drain.background_tasks import run_periodically
from shared.engine.run.journal import Piggyback, count_deliveries
from shared.errors import UnavailableError
from shared.observability import count
from shared.queue.delivery_log import DeliveryLog, LogBatch
from shared.repositories.webhooks import WebhookRepository

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
# The smallest share of a batch that is taken, when larger ones are not written in time: one entry.
LEAST_SHARE = 0.005
# Bodies beyond this are written on their own: runs wait for a commit.
MAX_PIGGYBACK_BYTES = 65_536


class DeliveryLogWriter:
    """One drain's writer."""

    def __init__(self, log: DeliveryLog, webhooks: WebhookRepository, piggyback: Piggyback, name: str) -> None:
        """`piggyback` is that of the journal which commits the drain's runs; `name` is unique to the drain."""
        self._log, self._webhooks, self._piggyback, self._name = log, webhooks, piggyback, name
        # The share of a usual batch that is taken at once.
        self._share = 1.0

    async def run_forever(self) -> None:
        """Writes until it is cancelled."""
        await run_periodically("ledger", self._turn)

    async def _turn(self) -> float:
        return 0.0 if await self.write() else PAUSE_SECONDS

    async def write(self) -> bool:
        """Whether there is more: one batch is written, if there is any.

        One that is not written within the writer's lock is followed by a smaller one. Where hundreds of entries are
        refused, each has to be found by bisection, and the same batch would be taken, and not be written, for ever.
        """
        is_done = False
        try:
            batch = await self._log.take(self._name, self._share)
            if batch is None:
                is_done = True
                return False
            await self._write(batch)
            is_done = await self._log.finish(self._name, batch)
        except UnavailableError:
            # The entries stay in Redis; another turn writes them, or another drain.
            return False
        except Exception:  # the delivery log is no reason for a drain to end; another turn tries again
            logger.exception("ledger_not_written")
            return False
        finally:
            self._share = min(1.0, self._share * 2) if is_done else max(LEAST_SHARE, self._share / 4)
        return batch.more or not is_done

    async def _write(self, batch: LogBatch) -> None:
        entries = [*batch.lines, *batch.counts]
        is_light = sum(len(entry.get("body", "")) for entry in entries) <= MAX_PIGGYBACK_BYTES
        refused: set[str] = set()

        async def put_aside(entry: DeliveryLogEntry, error: Exception) -> None:
            # A database that takes no entries at all refuses this empty call too, and then none is put aside.
            await self._webhooks.record([])
            refused.add(entry["id"])
            _log_put_aside(entry["tenant_id"], entry["webhook_id"], str(error), delivery_id=entry["id"])

        if entries and not (is_light and await self._piggyback.ride(entries)):
            from shared.engine.drain.bisection import write_all  # as a rule they ride along with a commit

            await write_all(entries, self._webhooks.record, put_aside)
        count_deliveries([entry for entry in entries if entry["id"] not in refused])
        for refusal in batch.refused:
            _log_put_aside(refusal.tenant_id, refusal.webhook_id, refusal.why)


def _log_put_aside(tenant_id: str | None, webhook_id: str | None, reason: str, **fields: str) -> None:
    """Logs and counts an entry that will not be written. Its content is not logged: it is the sender's."""
    count("LedgerLinesPutAside")
    owner = {"tenant_id": tenant_id, "webhook_id": webhook_id}
    logger.error("ledger_line_put_aside", extra={**owner, "error": reason[:300], **fields})
