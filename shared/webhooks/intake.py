"""Take a delivery: match, verify, dedupe, enqueue, answer. Nothing of a body is parsed before it verifies."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.commands.services import Services
from shared.domain.json_values import storable
from shared.domain.timestamps import timestamp
from shared.errors import (
    ConflictError,
    GoneError,
    InvalidSignatureError,
    NotFoundError,
    PayloadTooLargeError,
    QueueUnavailableError,
)
from shared.ids import derived_id, is_uuid, new_id
from shared.queue.job import ExecutionJob
from shared.webhooks.answer import Answer, json_answer
from shared.webhooks.delivery import Delivery
from shared.webhooks.handshake import answer as handshake_answer
from shared.webhooks.hooks import Hook, Hooks
from shared.webhooks.identity import delivery_key, event_type
from shared.webhooks.provider import Provider
from shared.webhooks.verification import verify

logger = logging.getLogger(__name__)

# Lambda takes 6 MB an event, and JSON and base64 make a body longer.
MAX_BODY_BYTES = 4_500_000
# After Redis failed, deliveries go around it for this long: each attempt could hold an answer up for seconds.
DETOUR_SECONDS = 2.0
# What a sender's own credentials may stand in; the run sees the other headers.
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key"})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to `/webhooks/{webhook_id}/{provider_id}`; `headers` by lower-case name."""

    webhook_id: str
    provider_id: str
    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes


class Intake:
    """Takes deliveries. One per process."""

    def __init__(self, services: Services) -> None:
        """Uses the process's services."""
        self._services = services
        self._hooks = Hooks(services)
        self._detour_until = 0.0

    async def take(self, arrival: Arrival) -> Answer:
        """The answer to a request; refusals are raised as the errors of the API's contract."""
        if len(arrival.body) > MAX_BODY_BYTES:
            raise PayloadTooLargeError(f"A delivery may have {MAX_BODY_BYTES} bytes.")
        hook = await self._match(arrival)
        delivery = Delivery(
            method=arrival.method,
            headers=arrival.headers,
            body=arrival.body,
            query=arrival.query,
            url=f"{self._services.settings.public_url or ''}/webhooks/{hook.id}/{hook.provider_id}",
            config=hook.config,
        )
        if hook.provider is None:
            raise _refused(hook, "config_unusable")
        provider = hook.provider
        if found := handshake_answer(provider.handshakes, delivery, verified=False):
            return found.answer
        if arrival.method != "POST" and all(each.method != arrival.method for each in provider.handshakes):
            raise NotFoundError("There is no such handshake.")
        now = time.time()
        verification = verify(provider.scheme, delivery, hook.usable_secrets(now), now)
        if verification.reason is not None:
            raise _refused(hook, verification.reason)
        if found := handshake_answer(provider.handshakes, delivery, verified=True):
            return found.answer
        if arrival.method != "POST":
            raise NotFoundError("There is no such handshake.")
        return await self._accept(_job(hook, provider, delivery, verification.timestamp, now))

    async def _match(self, arrival: Arrival) -> Hook:
        hook = await self._hooks.find(arrival.webhook_id) if is_uuid(arrival.webhook_id) else None
        if hook is None or hook.provider_id != arrival.provider_id:
            raise NotFoundError("There is no such webhook.")
        if not hook.is_active:
            raise GoneError
        if not hook.is_published:
            raise GoneError("This webhook's workflow is not published.")
        return hook

    async def _accept(self, job: ExecutionJob) -> Answer:
        assert job.delivery is not None, "intake makes jobs of deliveries"
        fingerprint: str = job.delivery["body_sha256"]
        try:
            if time.monotonic() < self._detour_until:
                raise QueueUnavailableError
            receipt = await self._services.queue.accept(job, fingerprint)
        except QueueUnavailableError as error:
            return await self._spill(job, error)
        if receipt.mismatch:
            raise _contradiction(job)
        if not receipt.live_drain:
            await self._wake()
        return _answer(job, receipt.delivery_id, receipt.duplicate)

    async def _spill(self, job: ExecutionJob, error: QueueUnavailableError) -> Answer:
        from shared.webhooks.spill import spill

        now = time.monotonic()
        if now >= self._detour_until:
            self._detour_until = now + DETOUR_SECONDS
            cause = type(error.__cause__).__name__
            logger.warning("queue_unreachable", extra={"execution_id": job.execution_id, "error": cause})
        spilled = await spill(self._services.events, job)
        if spilled.mismatch:
            raise _contradiction(job)
        return _answer(job, spilled.delivery_id, spilled.duplicate)

    async def _wake(self) -> None:
        from shared.queue.wake import wake_drain

        try:
            await wake_drain(self._services.queue)
        except QueueUnavailableError:
            # The job is in; the schedule's drain finds it.
            logger.warning("drain_not_woken")


def _job(hook: Hook, provider: Provider, delivery: Delivery, signed_at: str | None, now: float) -> ExecutionJob:
    body_sha256 = hashlib.sha256(delivery.body).hexdigest()
    key = delivery_key(provider, delivery, body_sha256, signed_at)
    body, encoding = _as_text(delivery.body)
    facts: dict[str, Any] = {
        "workflow_id": hook.workflow_id,
        "node_id": hook.node_id,
        "webhook_id": hook.id,
        "provider": hook.provider_id,
        "delivery_id": new_id(),
        "delivery_key": storable(key),
        "event_type": storable(event_type(provider, delivery)),
        "received_at": timestamp(now),
        "method": delivery.method,
        "headers": _texts({n: value for n, value in delivery.headers.items() if n not in SECRET_HEADERS}),
        "query": _texts(dict(delivery.query)),
        "body": body,
        "body_encoding": encoding,
        "body_sha256": body_sha256,
        "size_bytes": len(delivery.body),
        "content_type": storable(delivery.headers.get("content-type", "")),
    }
    return ExecutionJob(hook.tenant_id, derived_id("delivery", hook.id, key), "delivery", facts)


def _texts(texts: dict[str, str]) -> dict[str, str]:
    """The same without what no database keeps; nearly always there is none of that, which is quickly seen."""
    joined = "".join((*texts, *texts.values()))
    cleaned: dict[str, str] = texts if joined.isascii() and "\x00" not in joined else storable(texts)
    return cleaned


def _as_text(body: bytes) -> tuple[str, str]:
    try:
        return body.decode("utf-8"), "utf8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _answer(job: ExecutionJob, delivery_id: str, duplicate: bool) -> Answer:
    return json_answer(
        200 if duplicate else 202,
        {"execution_id": job.execution_id, "delivery_id": delivery_id, "duplicate": duplicate},
    )


def _refused(hook: Hook, reason: str) -> InvalidSignatureError:
    # The reason is for the webhook's owner; a sender who must guess learns nothing.
    logger.info("delivery_refused", extra={"webhook_id": hook.id, "tenant_id": hook.tenant_id, "reason": reason})
    return InvalidSignatureError()


def _contradiction(job: ExecutionJob) -> ConflictError:
    logger.warning("delivery_contradicts", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
    return ConflictError("Another body was delivered under this id before.")
