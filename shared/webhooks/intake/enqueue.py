"""What intake hands over: accepted deliveries, to the queue or around it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.bootstrap import Services
from shared.domain.webhook.delivery import DeliveryRecord
from shared.errors import (
    ConflictError,
    QueueError,
    QueueUnavailableError,
    StorageUnavailableError,
    ThrottledError,
)
from shared.observability import emit
from shared.platform.deadline import within
from shared.queue.connection import CircuitBreaker
from shared.queue.job import ExecutionJob
from shared.queue.producer import Limit, Receipt
from shared.webhooks.intake.delivery_log import IntakeLog
from shared.webhooks.intake.webhook_cache import LONG_SECONDS, SHORT_SECONDS, CachedWebhook, gone
from shared.webhooks.response import Answer, json_answer

if TYPE_CHECKING:
    from shared.webhooks.intake.fallback_store import StoredRun

logger = logging.getLogger(__name__)


class Enqueuer:
    """To Redis, and to Supabase while Redis is out of reach. One per process."""

    def __init__(self, services: Services, circuit: CircuitBreaker, log: IntakeLog) -> None:
        """Uses the process's services, and its way around a Redis that has failed; `log` takes what starts no run."""
        self._services, self._circuit, self._log = services, circuit, log

    async def accept(self, hook: CachedWebhook, job: ExecutionJob) -> Answer:
        """The answer to a delivery of which a run will come, or came already. `ThrottledError` over a limit,
        `ConflictError` for other bytes under the same key, `GoneError` where the workflow has just been unpublished,
        `StorageUnavailableError` when nobody takes it.

        A webhook whose deliveries are to be `stored` is answered when the store has this one too.
        """
        if not self._circuit.is_open:
            try:
                taken = await self._queue(hook, job)
            except (QueueUnavailableError, QueueError) as error:
                self._open_circuit(job, error)
            else:
                return _answer(job, await self._stored(job, taken) if hook.is_stored else taken)
            return _answer(job, await self._store(job))
        try:
            return _answer(job, await self._store(job))
        except StorageUnavailableError:
            if hook.is_stored:
                raise
            # Redis may be back: it is all that is left.
            try:
                return _answer(job, await self._queue(hook, job))
            except (QueueUnavailableError, QueueError):
                pass
            raise

    async def hold(self, hook: CachedWebhook, job: ExecutionJob) -> Answer | str:
        """The answer to a delivery that runs when its webhook is active again; the webhook's present status where it
        does not hold deliveries any more. `ThrottledError` over a limit or where it holds as many as it may,
        `ConflictError` for other bytes under the same key, `StorageUnavailableError` where the store does not take it.
        """
        from shared.webhooks.intake.fallback_store import hold

        if (seconds := await self._must_wait(hook)) is not None:
            raise await self._throttled(hook, job.delivered, seconds)
        try:
            with within(LONG_SECONDS):
                held = await hold(self._services.events, hook.id, job)
        except ThrottledError:
            await self._log.log_delivery(hook, job.delivered, "throttled", "held_full")
            raise
        if isinstance(held, str):
            return held
        if held.mismatch:
            raise _contradiction(job)
        if held.duplicate:
            await self._log.log_delivery(hook, job.delivered, "duplicate", None)
        else:
            emit({"DeliveriesHeld": 1}, service="intake")
        return _answer(job, held, held=True)

    async def _queue(self, hook: CachedWebhook, job: ExecutionJob) -> Receipt:
        limits = self._limits(hook)
        receipt = await self._services.producer.accept(job, job.delivered["body_sha256"], limits)
        if receipt.duplicate and receipt.job_is_gone:
            receipt = await self._taken_again(job, receipt, limits)
        self._circuit.close()
        if receipt.unpublished:
            await self._log.log_delivery(hook, job.delivered, "unpublished", None)
            raise gone("unpublished")
        if receipt.retry_after_seconds is not None:
            raise await self._throttled(hook, job.delivered, receipt.retry_after_seconds)
        if receipt.mismatch:
            await self._log.log_delivery(hook, job.delivered, "duplicate", "other_bytes_under_the_same_key")
            raise _contradiction(job)
        if receipt.duplicate:
            await self._log.log_delivery(hook, job.delivered, "duplicate", None)
        if not receipt.live_drain:
            from shared.commands.enqueue_resume import request_drain  # as a rule one is live

            await request_drain(self._services)
        return receipt

    async def _stored(self, job: ExecutionJob, receipt: Receipt) -> StoredRun:
        """What the store says of a delivery that the queue has taken. A drain may have been faster; a repetition is
        stored as well, for the first attempt may have failed right here."""
        from shared.repositories.run_append import FIRST_DUE_SECONDS
        from shared.webhooks.intake.fallback_store import store_run

        first = job.accepted_as(receipt.delivery_id)
        with within(LONG_SECONDS):
            stored = await store_run(self._services.events, first, FIRST_DUE_SECONDS)
        if stored.mismatch:
            raise _contradiction(job)
        return replace(stored, duplicate=stored.duplicate or receipt.duplicate)

    async def _taken_again(self, job: ExecutionJob, receipt: Receipt, limits: Sequence[Limit]) -> Receipt:
        """The receipt of a delivery that was accepted before and whose job is not in the queue.

        Nearly always its run has begun. Where there is none, another client of the queue has removed the job, and the
        delivery is taken as it was the first time. Where the store does not say, its job is put back for safety: a job
        of a run that exists does nothing.
        """
        is_known = True
        try:
            with within(SHORT_SECONDS):
                if await self._services.executions.get(job.tenant_id, job.execution_id) is not None:
                    return receipt
        except StorageUnavailableError:
            is_known = False
        first = job.accepted_as(receipt.delivery_id)
        again = await self._services.producer.accept(first, job.delivered["body_sha256"], limits, put_back=True)
        logger.warning("delivery_put_back", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
        return again if is_known else again._replace(duplicate=not again.mismatch)

    async def _store(self, job: ExecutionJob) -> StoredRun:
        from shared.webhooks.intake.fallback_store import store_run

        with within(LONG_SECONDS):
            spilled = await store_run(self._services.events, job)
        if spilled.mismatch:
            raise _contradiction(job)
        if not spilled.duplicate:
            emit({"DeliveriesSpilled": 1}, service="intake")
        return spilled

    def _open_circuit(self, job: ExecutionJob, error: QueueUnavailableError | QueueError) -> None:
        self._circuit.open(error)
        cause = type(error.__cause__).__name__
        logger.warning("queue_unreachable", extra={"execution_id": job.execution_id, "error": cause})

    async def _must_wait(self, hook: CachedWebhook) -> float | None:
        """In how many seconds a delivery that goes around the queue may come again; `None` where it may come now, or
        where Redis, which counts, is out of reach."""
        if self._circuit.is_open:
            return None
        try:
            return await self._services.producer.throttle(self._limits(hook))
        except (QueueUnavailableError, QueueError) as error:
            self._circuit.open(error)
            return None

    async def _throttled(self, hook: CachedWebhook, record: DeliveryRecord, seconds: float) -> ThrottledError:
        """The refusal of a delivery over a limit, recorded."""
        await self._log.log_delivery(hook, record, "throttled", None)
        return ThrottledError(retry_after_seconds=max(1, math.ceil(seconds)))

    def _limits(self, hook: CachedWebhook) -> list[Limit]:
        """The limits of this webhook and of its tenant."""
        limits = []
        if own := hook.config.get("rate_limit"):
            per_second = own["per_minute"] / 60
            limits.append(Limit(f"webhook:{hook.id}", per_second, own.get("burst", max(1, int(per_second)))))
        if shared := self._services.settings.tenant_deliveries_per_second:
            limits.append(Limit(f"tenant:{hook.tenant_id}", shared, shared))
        return limits


def _answer(job: ExecutionJob, taken: Receipt | StoredRun, **more: bool) -> Answer:
    ids = {"execution_id": job.execution_id, "delivery_id": taken.delivery_id}
    return json_answer(200 if taken.duplicate else 202, {**ids, "duplicate": taken.duplicate, **more})


def _contradiction(job: ExecutionJob) -> ConflictError:
    logger.warning("delivery_contradicts", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
    return ConflictError("Another body was delivered under this id before.")
