"""Hands accepted deliveries over: to the queue or, while Redis is out of reach, to the fallback store in Supabase."""

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
from shared.webhooks.delivery import Answer, json_answer
from shared.webhooks.intake.delivery_log import IntakeLog
from shared.webhooks.intake.webhook_cache import LONG_SECONDS, SHORT_SECONDS, CachedWebhook, gone

if TYPE_CHECKING:
    from shared.webhooks.intake.fallback_store import StoredRun

logger = logging.getLogger(__name__)


class Enqueuer:
    """Admits deliveries. One per process.

    Which way a delivery takes: to Redis while the circuit is closed; to Supabase when Redis fails or while the circuit
    is open; and to Redis in spite of an open circuit where Supabase fails too. A webhook whose deliveries are `stored`
    needs Supabase in any case."""

    def __init__(self, services: Services, circuit: CircuitBreaker, log: IntakeLog) -> None:
        """`circuit` is the process's own around Redis; `log` takes the deliveries that start no run."""
        self._services, self._circuit, self._log = services, circuit, log

    async def accept(self, webhook: CachedWebhook, job: ExecutionJob) -> Answer:
        """The answer to a delivery that starts a run, or did so before: 202, or 200 for a duplicate.

        `ThrottledError` over a limit, `ConflictError` for another body under the same key, `GoneError` where the
        workflow has just been unpublished, `StorageUnavailableError` when neither Redis nor Supabase takes it.
        """
        if not self._circuit.is_open:
            try:
                taken = await self._queue(webhook, job)
            except (QueueUnavailableError, QueueError) as error:
                self._open_circuit(job, error)
            else:
                return _answer(job, await self._stored(job, taken) if webhook.is_stored else taken)
            return _answer(job, await self._store(job))
        try:
            return _answer(job, await self._store(job))
        except StorageUnavailableError:
            if webhook.is_stored:
                raise
            # Redis may be back, and there is no other way left.
            try:
                return _answer(job, await self._queue(webhook, job))
            except (QueueUnavailableError, QueueError):
                pass
            raise

    async def hold(self, webhook: CachedWebhook, job: ExecutionJob) -> Answer | str:
        """The answer to a delivery that is held until its webhook is active again; the webhook's present status where
        it does not hold deliveries any more. `ThrottledError` over a limit or where it holds as many as it may,
        `ConflictError` for another body under the same key, `StorageUnavailableError` where Supabase does not take it.
        """
        from shared.webhooks.intake.fallback_store import hold

        if (seconds := await self._must_wait(webhook)) is not None:
            raise await self._throttled(webhook, job.delivered, seconds)
        try:
            with within(LONG_SECONDS):
                held = await hold(self._services.events, webhook.id, job)
        except ThrottledError:
            await self._log.log_delivery(webhook, job.delivered, "throttled", "held_full")
            raise
        if isinstance(held, str):
            return held
        if held.mismatch:
            raise _contradiction(job)
        if held.duplicate:
            await self._log.log_delivery(webhook, job.delivered, "duplicate", None)
        else:
            emit({"DeliveriesHeld": 1}, service="intake")
        return _answer(job, held, held=True)

    async def _queue(self, webhook: CachedWebhook, job: ExecutionJob) -> Receipt:
        limits = self._limits(webhook)
        # One round trip: duplicate, rate limits, published version, the job itself and the look for a live drain.
        receipt = await self._services.producer.accept(job, job.delivered["body_sha256"], limits)
        if receipt.duplicate and receipt.job_is_gone:
            receipt = await self._taken_again(job, receipt, limits)
        self._circuit.close()
        if receipt.unpublished:
            await self._log.log_delivery(webhook, job.delivered, "unpublished", None)
            raise gone("unpublished")
        if receipt.retry_after_seconds is not None:
            raise await self._throttled(webhook, job.delivered, receipt.retry_after_seconds)
        if receipt.mismatch:
            await self._log.log_delivery(webhook, job.delivered, "duplicate", "other_bytes_under_the_same_key")
            raise _contradiction(job)
        if receipt.duplicate:
            await self._log.log_delivery(webhook, job.delivered, "duplicate", None)
        if not receipt.live_drain:
            from shared.commands.enqueue_resume import request_drain  # as a rule one is live

            await request_drain(self._services)
        return receipt

    async def _stored(self, job: ExecutionJob, receipt: Receipt) -> StoredRun:
        """Stores a delivery that the queue has taken already. A drain may have stored its run before. A duplicate is
        stored as well, for the first attempt may have failed at this very step."""
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

        Nearly always its run has begun. Where there is none, another client of the queue has removed the job, and it is
        added again. Where Supabase does not answer, it is added to be safe: a job of a run that exists does nothing.
        """
        is_known = True
        try:
            with within(SHORT_SECONDS):
                if await self._services.executions.get(job.tenant_id, job.execution_id) is not None:
                    return receipt
        except StorageUnavailableError:
            is_known = False
        first = job.accepted_as(receipt.delivery_id)
        # Under the first delivery's id, so that the claim which stands there is recognised as its own.
        again = await self._services.producer.accept(first, job.delivered["body_sha256"], limits, put_back=True)
        logger.warning("delivery_put_back", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
        # Without an answer from Supabase, the sender hears what is nearly always so: that this came before.
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

    async def _must_wait(self, webhook: CachedWebhook) -> float | None:
        """In how many seconds a delivery that does not go through the queue may come again; `None` where it may come
        now, or where Redis, which has the token buckets, is out of reach."""
        if self._circuit.is_open:
            return None
        try:
            return await self._services.producer.throttle(self._limits(webhook))
        except (QueueUnavailableError, QueueError) as error:
            self._circuit.open(error)
            return None

    async def _throttled(self, webhook: CachedWebhook, record: DeliveryRecord, seconds: float) -> ThrottledError:
        """The refusal of a delivery over a limit, logged."""
        await self._log.log_delivery(webhook, record, "throttled", None)
        return ThrottledError(retry_after_seconds=max(1, math.ceil(seconds)))

    def _limits(self, webhook: CachedWebhook) -> list[Limit]:
        """The limits of this webhook and of its tenant."""
        limits = []
        if own := webhook.config.get("rate_limit"):
            per_second = own["per_minute"] / 60
            limits.append(Limit(f"webhook:{webhook.id}", per_second, own.get("burst", max(1, int(per_second)))))
        if shared := self._services.settings.tenant_deliveries_per_second:
            limits.append(Limit(f"tenant:{webhook.tenant_id}", shared, shared))
        return limits


def _answer(job: ExecutionJob, taken: Receipt | StoredRun, **more: bool) -> Answer:
    ids = {"execution_id": job.execution_id, "delivery_id": taken.delivery_id}
    return json_answer(200 if taken.duplicate else 202, {**ids, "duplicate": taken.duplicate, **more})


def _contradiction(job: ExecutionJob) -> ConflictError:
    logger.warning("delivery_contradicts", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
    return ConflictError("Another body was delivered under this id before.")
