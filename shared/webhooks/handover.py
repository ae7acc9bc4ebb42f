"""What intake hands over: accepted deliveries to the queue, or around it, and a line for the ledger of the others."""

from __future__ import annotations

import base64
import logging
import math
import time

from shared.commands.services import Services
from shared.domain.delivery import DeliveryRecord, body_bytes, ledger_note
from shared.errors import ConflictError, QueueUnavailableError, StorageUnavailableError, ThrottledError
from shared.observability import emit
from shared.queue.job import ExecutionJob
from shared.queue.limit import Limit
from shared.webhooks.answer import Answer, json_answer
from shared.webhooks.hooks import Hook

logger = logging.getLogger(__name__)

# After Redis failed, deliveries go around it for this long: each attempt could hold an answer up for seconds.
DETOUR_SECONDS = 2.0


class Handover:
    """To Redis, and to Supabase while Redis is out of reach. One per process."""

    def __init__(self, services: Services) -> None:
        """Uses the process's services."""
        self._services = services
        self._detour_until = 0.0

    async def accept(self, hook: Hook, job: ExecutionJob) -> Answer:
        """The answer to a delivery of which a run will come, or came already. `ThrottledError` over a limit,
        `ConflictError` for other bytes under the same key, `StorageUnavailableError` when nobody takes it."""
        if time.monotonic() >= self._detour_until:
            try:
                return await self._queue(hook, job)
            except QueueUnavailableError as error:
                self._begin_detour(job, error)
            return await self._spill(job)
        try:
            return await self._spill(job)
        except StorageUnavailableError:
            # Redis may be back: it is all that is left.
            try:
                return await self._queue(hook, job)
            except QueueUnavailableError:
                pass
            raise

    async def note(self, hook: Hook, facts: DeliveryRecord, verdict: str, reason: str | None) -> None:
        """Leaves a line for the ledger, which a drain writes. What Redis does not take in time is not recorded."""
        row = ledger_note(facts, hook.tenant_id, verdict, reason)
        try:
            should_wake = await self._services.inbox.note(row, base64.b64encode(body_bytes(facts)).decode())
        except QueueUnavailableError:
            logger.warning("delivery_not_noted", extra={"webhook_id": hook.id, "verdict": verdict})
        else:
            if should_wake:
                await self._wake()

    async def _queue(self, hook: Hook, job: ExecutionJob) -> Answer:
        assert job.delivery is not None, "intake makes jobs of deliveries"
        receipt = await self._services.inbox.accept(job, job.delivery["body_sha256"], self._limits(hook))
        if receipt.retry_after_seconds is not None:
            await self.note(hook, job.delivery, "throttled", None)
            raise ThrottledError(retry_after_seconds=max(1, math.ceil(receipt.retry_after_seconds)))
        if receipt.mismatch:
            await self.note(hook, job.delivery, "duplicate", "other_bytes_under_the_same_key")
            raise _contradiction(job)
        if receipt.duplicate:
            await self.note(hook, job.delivery, "duplicate", None)
        if not receipt.live_drain:
            await self._wake()
        return _answer(job, receipt.delivery_id, receipt.duplicate)

    async def _spill(self, job: ExecutionJob) -> Answer:
        from shared.webhooks.spill import spill

        spilled = await spill(self._services.events, job)
        if spilled.mismatch:
            raise _contradiction(job)
        if not spilled.duplicate:
            emit({"DeliveriesSpilled": 1}, service="intake")
        return _answer(job, spilled.delivery_id, spilled.duplicate)

    def _begin_detour(self, job: ExecutionJob, error: QueueUnavailableError) -> None:
        self._detour_until = time.monotonic() + DETOUR_SECONDS
        cause = type(error.__cause__).__name__
        logger.warning("queue_unreachable", extra={"execution_id": job.execution_id, "error": cause})

    def _limits(self, hook: Hook) -> list[Limit]:
        """The limits of this webhook and of its tenant."""
        limits = []
        if own := hook.config.get("rate_limit"):
            per_second = own["per_minute"] / 60
            limits.append(Limit(f"webhook:{hook.id}", per_second, own.get("burst", max(1, int(per_second)))))
        if shared := self._services.settings.tenant_deliveries_per_second:
            limits.append(Limit(f"tenant:{hook.tenant_id}", shared, shared))
        return limits

    async def _wake(self) -> None:
        from shared.queue.wake import wake_drain

        try:
            await wake_drain(self._services.inbox)
        except QueueUnavailableError:
            # The job is in; the schedule's drain finds it.
            logger.warning("drain_not_woken")


def _answer(job: ExecutionJob, delivery_id: str, duplicate: bool) -> Answer:
    return json_answer(
        200 if duplicate else 202,
        {"execution_id": job.execution_id, "delivery_id": delivery_id, "duplicate": duplicate},
    )


def _contradiction(job: ExecutionJob) -> ConflictError:
    logger.warning("delivery_contradicts", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
    return ConflictError("Another body was delivered under this id before.")
