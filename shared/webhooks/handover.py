"""What intake hands over: accepted deliveries to the queue, or around it, and a line for the ledger of the others."""

from __future__ import annotations

import asyncio
import base64
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.commands.services import Services
from shared.deadline import within
from shared.domain.delivery import DeliveryRecord, body_bytes, ledger_note
from shared.domain.verdict import PROVEN
from shared.errors import (
    ConflictError,
    QueueError,
    QueueUnavailableError,
    StorageUnavailableError,
    ThrottledError,
)
from shared.observability import emit
from shared.queue.inbox import Receipt
from shared.queue.job import ExecutionJob
from shared.queue.limit import Limit
from shared.webhooks.answer import Answer, json_answer
from shared.webhooks.closed import gone
from shared.webhooks.deadlines import LONG_SECONDS, SHORT_SECONDS
from shared.webhooks.detour import Detour
from shared.webhooks.door import is_stored
from shared.webhooks.hooks import Hook

if TYPE_CHECKING:
    from shared.webhooks.spill import Spilled

logger = logging.getLogger(__name__)

# The delivery is in already; its sender does not wait longer than this for a drain to be woken.
WAKE_SECONDS = 3.0


class Handover:
    """To Redis, and to Supabase while Redis is out of reach. One per process."""

    def __init__(self, services: Services, detour: Detour) -> None:
        """Uses the process's services, and its way around a Redis that has failed."""
        self._services, self._detour = services, detour

    async def accept(self, hook: Hook, job: ExecutionJob) -> Answer:
        """The answer to a delivery of which a run will come, or came already. `ThrottledError` over a limit,
        `ConflictError` for other bytes under the same key, `GoneError` where the workflow has just been unpublished,
        `StorageUnavailableError` when nobody takes it.

        A webhook whose deliveries are to be `stored` is answered when the store has this one too.
        """
        if not self._detour.is_open:
            try:
                taken = await self._queue(hook, job)
            except (QueueUnavailableError, QueueError) as error:
                self._begin_detour(job, error)
            else:
                return _answer(job, await self._stored(job, taken) if is_stored(hook.config) else taken)
            return _answer(job, await self._spill(job))
        try:
            return _answer(job, await self._spill(job))
        except StorageUnavailableError:
            if is_stored(hook.config):
                raise
            # Redis may be back: it is all that is left.
            try:
                return _answer(job, await self._queue(hook, job))
            except (QueueUnavailableError, QueueError):
                pass
            raise

    async def hold(self, hook: Hook, job: ExecutionJob) -> Answer | str:
        """The answer to a delivery that runs when its webhook is active again; the webhook's present status where it
        does not hold deliveries any more. `ThrottledError` over a limit or where it holds as many as it may,
        `ConflictError` for other bytes under the same key, `StorageUnavailableError` where the store does not take it.
        """
        from shared.webhooks.spill import hold

        assert job.delivery is not None, "intake makes jobs of deliveries"
        if (seconds := await self._must_wait(hook)) is not None:
            raise await self._throttled(hook, job.delivery, seconds)
        try:
            with within(LONG_SECONDS):
                held = await hold(self._services.events, hook.id, job)
        except ThrottledError:
            await self.note(hook, job.delivery, "throttled", "held_full")
            raise
        if isinstance(held, str):
            return held
        if held.mismatch:
            raise _contradiction(job)
        if held.duplicate:
            await self.note(hook, job.delivery, "duplicate", None)
        else:
            emit({"DeliveriesHeld": 1}, service="intake")
        return _answer(job, held, held=True)

    async def note(
        self, hook: Hook, facts: DeliveryRecord, verdict: str, reason: str | None, verified: bool | None = None
    ) -> None:
        """Leaves a line for the ledger, which a drain writes. What Redis does not take in time is not recorded.
        `verified` unset is what the verdict says."""
        row = ledger_note(facts, hook.tenant_id, verdict, reason, verdict in PROVEN if verified is None else verified)
        if self._detour.is_open:
            logger.warning("delivery_not_noted", extra={"webhook_id": hook.id, "verdict": verdict})
            return
        try:
            should_wake = await self._services.inbox.note(row, base64.b64encode(body_bytes(facts)).decode())
        except (QueueUnavailableError, QueueError) as error:
            self._detour.begin(error)
            logger.warning("delivery_not_noted", extra={"webhook_id": hook.id, "verdict": verdict})
        else:
            if should_wake:
                await self._wake()

    async def _queue(self, hook: Hook, job: ExecutionJob) -> Receipt:
        assert job.delivery is not None, "intake makes jobs of deliveries"
        limits = self._limits(hook)
        receipt = await self._services.inbox.accept(job, job.delivery["body_sha256"], limits)
        if receipt.duplicate and receipt.job_is_gone:
            receipt = await self._taken_again(job, receipt, limits)
        self._detour.end()
        if receipt.unpublished:
            await self.note(hook, job.delivery, "unpublished", None)
            raise gone("unpublished")
        if receipt.retry_after_seconds is not None:
            raise await self._throttled(hook, job.delivery, receipt.retry_after_seconds)
        if receipt.mismatch:
            await self.note(hook, job.delivery, "duplicate", "other_bytes_under_the_same_key")
            raise _contradiction(job)
        if receipt.duplicate:
            await self.note(hook, job.delivery, "duplicate", None)
        if not receipt.live_drain:
            await self._wake()
        return receipt

    async def _stored(self, job: ExecutionJob, receipt: Receipt) -> Spilled:
        """What the store says of a delivery that the queue has taken. A drain may have been faster; a repetition is
        stored as well, for the first attempt may have failed right here."""
        from shared.repositories.run_append import FIRST_DUE_SECONDS
        from shared.webhooks.spill import spill

        assert job.delivery is not None, "intake makes jobs of deliveries"
        first = job._replace(delivery={**job.delivery, "delivery_id": receipt.delivery_id})
        with within(LONG_SECONDS):
            stored = await spill(self._services.events, first, FIRST_DUE_SECONDS)
        if stored.mismatch:
            raise _contradiction(job)
        return replace(stored, duplicate=stored.duplicate or receipt.duplicate)

    async def _taken_again(self, job: ExecutionJob, receipt: Receipt, limits: Sequence[Limit]) -> Receipt:
        """The receipt of a delivery that was accepted before and whose job is not in the queue.

        Nearly always its run has begun. Where there is none, another client of the queue has removed the job, and the
        delivery is taken as it was the first time. Where the store does not say, its job is put back for safety: a job
        of a run that exists does nothing.
        """
        assert job.delivery is not None, "intake makes jobs of deliveries"
        is_known = True
        try:
            with within(SHORT_SECONDS):
                if await self._services.executions.get(job.tenant_id, job.execution_id) is not None:
                    return receipt
        except StorageUnavailableError:
            is_known = False
        first = job._replace(delivery={**job.delivery, "delivery_id": receipt.delivery_id})
        again = await self._services.inbox.accept(first, job.delivery["body_sha256"], limits, put_back=True)
        logger.warning("delivery_put_back", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
        return again if is_known else again._replace(duplicate=not again.mismatch)

    async def _spill(self, job: ExecutionJob) -> Spilled:
        from shared.webhooks.spill import spill

        with within(LONG_SECONDS):
            spilled = await spill(self._services.events, job)
        if spilled.mismatch:
            raise _contradiction(job)
        if not spilled.duplicate:
            emit({"DeliveriesSpilled": 1}, service="intake")
        return spilled

    def _begin_detour(self, job: ExecutionJob, error: QueueUnavailableError | QueueError) -> None:
        self._detour.begin(error)
        cause = type(error.__cause__).__name__
        logger.warning("queue_unreachable", extra={"execution_id": job.execution_id, "error": cause})

    async def _must_wait(self, hook: Hook) -> float | None:
        """In how many seconds a delivery that goes around the queue may come again; `None` where it may come now, or
        where Redis, which counts, is out of reach."""
        if self._detour.is_open:
            return None
        try:
            return await self._services.inbox.throttle(self._limits(hook))
        except (QueueUnavailableError, QueueError) as error:
            self._detour.begin(error)
            return None

    async def _throttled(self, hook: Hook, facts: DeliveryRecord, seconds: float) -> ThrottledError:
        """The refusal of a delivery over a limit, recorded."""
        await self.note(hook, facts, "throttled", None)
        return ThrottledError(retry_after_seconds=max(1, math.ceil(seconds)))

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
            async with asyncio.timeout(WAKE_SECONDS):
                await wake_drain(self._services.inbox)
        except (QueueUnavailableError, QueueError, TimeoutError):
            # The job is in; the schedule's drain finds it.
            logger.warning("drain_not_woken")


def _answer(job: ExecutionJob, taken: Receipt | Spilled, **more: bool) -> Answer:
    ids = {"execution_id": job.execution_id, "delivery_id": taken.delivery_id}
    return json_answer(200 if taken.duplicate else 202, {**ids, "duplicate": taken.duplicate, **more})


def _contradiction(job: ExecutionJob) -> ConflictError:
    logger.warning("delivery_contradicts", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
    return ConflictError("Another body was delivered under this id before.")
