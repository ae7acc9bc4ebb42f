"""Entries for the delivery log of deliveries that start no run: left in Redis, where a drain finds and writes them."""

from __future__ import annotations

import base64
import logging

from shared.bootstrap import Services
from shared.domain.webhook.delivery import DeliveryRecord, body_bytes, entry_without_run
from shared.errors import QueueError, QueueUnavailableError
from shared.queue.connection import CircuitBreaker
from shared.webhooks.intake.webhook_cache import CachedWebhook

logger = logging.getLogger(__name__)


class IntakeLog:
    """Leaves entries. One per process."""

    def __init__(self, services: Services, circuit: CircuitBreaker) -> None:
        """`circuit` is the process's own around Redis."""
        self._services, self._circuit = services, circuit

    async def log_delivery(
        self,
        webhook: CachedWebhook,
        record: DeliveryRecord,
        verdict: str,
        reason: str | None,
        verified: bool | None = None,
    ) -> None:
        """Leaves an entry. Where Redis does not take it in time it is lost, which the function's log says. `verified`
        unset follows from the verdict."""
        from shared.domain.webhook.delivery_log import PROVEN  # most deliveries start a run

        row = entry_without_run(
            record, webhook.tenant_id, verdict, reason, verdict in PROVEN if verified is None else verified
        )
        if self._circuit.is_open:
            logger.warning("delivery_not_noted", extra={"webhook_id": webhook.id, "verdict": verdict})
            return
        try:
            should_wake = await self._services.delivery_log.append(row, base64.b64encode(body_bytes(record)).decode())
        except (QueueUnavailableError, QueueError) as error:
            self._circuit.open(error)
            logger.warning("delivery_not_noted", extra={"webhook_id": webhook.id, "verdict": verdict})
        else:
            if should_wake:
                from shared.commands.enqueue_resume import request_drain  # as a rule one is live

                await request_drain(self._services)
