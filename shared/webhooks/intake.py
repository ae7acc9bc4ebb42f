"""Take a delivery: match, verify, dedupe, enqueue, answer. Nothing of a body is parsed before it verifies."""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.cause import current
from shared.commands.services import Services
from shared.domain.delivery import JWT, body_bytes, ledger_note, queued
from shared.domain.json_values import storable
from shared.domain.timestamps import timestamp
from shared.errors import (
    ConflictError,
    GoneError,
    InvalidSignatureError,
    NotFoundError,
    PayloadTooLargeError,
    QueueUnavailableError,
    ThrottledError,
)
from shared.ids import derived_id, is_uuid, new_id
from shared.observability import emit
from shared.queue.job import ExecutionJob
from shared.queue.limit import Limit
from shared.webhooks.answer import Answer, json_answer
from shared.webhooks.delivery import Delivery
from shared.webhooks.door import WAIT, takes_address, takes_event
from shared.webhooks.examination import examine
from shared.webhooks.fetched_keys import FetchedKeys, fetch_document
from shared.webhooks.handshake import HandshakeAnswer
from shared.webhooks.hooks import Hook, Hooks
from shared.webhooks.identity import delivery_key, event_type
from shared.webhooks.provider import Provider
from shared.webhooks.words import Facts

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
    raw_query: str = ""
    source_ip: str = ""


class Intake:
    """Takes deliveries. One per process."""

    def __init__(self, services: Services, filters_out: Callable[[str, dict[str, Any]], Awaitable[str | None]]) -> None:
        """Uses the process's services; `filters_out` says why a webhook's filter keeps out what would be the trigger of
        a run, if it does."""
        self._filters_out = filters_out
        self._services = services
        self._hooks = Hooks(services)
        self._keys = FetchedKeys()
        self._detour_until = 0.0

    async def take(self, arrival: Arrival) -> Answer:
        """The answer to a request; refusals are raised as the errors of the API's contract."""
        if len(arrival.body) > MAX_BODY_BYTES:
            raise PayloadTooLargeError(f"A delivery may have {MAX_BODY_BYTES} bytes.")
        hook = await self._match(arrival)
        public_url = self._services.settings.public_url or ""
        delivery = Delivery(
            method=arrival.method,
            headers=arrival.headers,
            body=arrival.body,
            query=arrival.query,
            url=hook.config.get("url") or f"{public_url}/webhooks/{hook.id}/{hook.provider_id}",
            config=hook.config,
            raw_query=arrival.raw_query,
        )
        now = time.time()
        if not takes_address(hook.config, arrival.source_ip):
            raise await self._refused(hook, delivery, now, f"ip_not_allowed: {arrival.source_ip[:45]}")
        if hook.provider is None:
            raise await self._refused(hook, delivery, now, "config_unusable")
        provider, secrets = hook.provider, hook.usable_secrets(now)
        keys = await self._fetched_keys(hook, provider, delivery, now) if provider.scheme.fetch else ()
        examined = examine(provider, delivery, secrets, now, keys)
        if examined.handshake is not None:
            return await self._shake(hook, delivery, now, examined.handshake)
        if examined.verification is None:
            raise NotFoundError("There is no such handshake.")
        if hook.awaits_secret:
            raise await self._refused(hook, delivery, now, "secret_missing: the webhook has not been given its secret")
        if examined.verification.reason is not None:
            raise await self._refused(hook, delivery, now, examined.verification.reason)
        if hook.provider_id == "custom" and not hook.config.get("live"):
            from shared.commands.go_live import go_live

            await go_live(self._services, hook.tenant_id, hook.id)
            self._hooks.forget(hook.id)
            return json_answer(200, {"verified": True, "live": True})
        job = _job(hook, provider, delivery, examined.verification.timestamp, now)
        assert job.delivery is not None, "intake makes jobs of deliveries"
        if not takes_event(hook.config, job.delivery["event_type"]):
            await self._note(hook, job.delivery, "filtered", "event_types")
            return json_answer(200, {"filtered": True})
        if expression := hook.config.get("filter"):
            reason = await self._filters_out(expression, queued(job.delivery).trigger)
            if reason is not None:
                await self._note(hook, job.delivery, "filtered", reason)
                return json_answer(200, {"filtered": True})
        accepted = await self._accept(hook, job)
        return await self._run_answer(arrival, job, accepted, now) or _replied(hook, delivery, accepted)

    async def _run_answer(
        self, arrival: Arrival, job: ExecutionJob, accepted: Answer, arrived_at: float
    ) -> Answer | None:
        """What the run responds; `None` where the webhook does not want that."""
        if not job.awaited:
            return None
        from shared.webhooks.waiting import MAX_WAIT_SECONDS, run_answer  # what other webhooks do without

        base = self._services.settings.public_url or f"https://{arrival.headers.get('host', '')}"
        left = arrived_at + MAX_WAIT_SECONDS - time.time()
        return await run_answer(self._services, job, accepted, base, left)

    async def _shake(self, hook: Hook, delivery: Delivery, now: float, found: HandshakeAnswer) -> Answer:
        """The answer to a handshake, after what it asks for has been done."""
        if found.stores is not None:
            from shared.commands.keep_handshake_secret import keep_handshake_secret

            try:
                await keep_handshake_secret(self._services, hook.tenant_id, hook.id, found.stores)
            except ConflictError:
                raise await self._refused(hook, delivery, now, "handshake_refused: the secret is set") from None
            self._hooks.forget(hook.id)
        if found.fetch is not None and await fetch_document(found.fetch, self._reachable(hook)) is None:
            raise await self._refused(hook, delivery, now, "handshake_refused: its URL did not answer")
        await self._note(hook, _facts(hook, delivery, now), "handshake", None if found.accepted else "refused")
        return found.answer

    async def _fetched_keys(self, hook: Hook, provider: Provider, delivery: Delivery, now: float) -> list[Any]:
        return await self._keys.find(provider.scheme, delivery, now, self._reachable(hook))

    def _reachable(self, hook: Hook) -> frozenset[str]:
        """The hosts that this webhook's tenant may reach although they are not public."""
        from shared.nodes.outbound import allowed_of  # with httpx, which only providers of public keys need

        return allowed_of(hook.tenant_id, self._services.settings.outbound_allow)

    async def _refused(self, hook: Hook, delivery: Delivery, now: float, reason: str) -> InvalidSignatureError:
        """The refusal, recorded. The reason is for the webhook's owner; a sender who must guess learns nothing."""
        verdict = "rejected_signature"
        if hook.provider is not None:
            from shared.webhooks.diagnosis import diagnose

            verdict, reason = diagnose(hook.provider, delivery, hook.usable_secrets(now), now, reason)
        logger.info("delivery_refused", extra={"webhook_id": hook.id, "tenant_id": hook.tenant_id, "reason": reason})
        await self._note(hook, _facts(hook, delivery, now), verdict, reason)
        return InvalidSignatureError()

    async def _note(self, hook: Hook, facts: dict[str, Any], verdict: str, reason: str | None) -> None:
        """Leaves a line for the ledger, which a drain writes. What Redis does not take in time is not recorded."""
        row = ledger_note(facts, hook.tenant_id, verdict, reason)
        try:
            should_wake = await self._services.inbox.note(row, base64.b64encode(body_bytes(facts)).decode())
        except QueueUnavailableError:
            logger.warning("delivery_not_noted", extra={"webhook_id": hook.id, "verdict": verdict})
        else:
            if should_wake:
                await self._wake()

    async def _match(self, arrival: Arrival) -> Hook:
        hook = await self._hooks.find(arrival.webhook_id) if is_uuid(arrival.webhook_id) else None
        if hook is None:
            raise NotFoundError("There is no such webhook.")
        if hook.provider_id != arrival.provider_id:
            await self._note(
                hook, _arrived(hook, arrival), "rejected_malformed", f"wrong_provider_path: {arrival.provider_id[:64]}"
            )
            raise NotFoundError("There is no such webhook.")
        if not hook.is_active:
            await self._note(hook, _arrived(hook, arrival), "paused", None)
            raise GoneError
        if not hook.is_published:
            raise GoneError("This webhook's workflow is not published.")
        return hook

    async def _accept(self, hook: Hook, job: ExecutionJob) -> Answer:
        assert job.delivery is not None, "intake makes jobs of deliveries"
        fingerprint: str = job.delivery["body_sha256"]
        try:
            if time.monotonic() < self._detour_until:
                raise QueueUnavailableError
            receipt = await self._services.inbox.accept(job, fingerprint, self._limits(hook))
        except QueueUnavailableError as error:
            return await self._spill(job, error)
        if receipt.retry_after_seconds is not None:
            await self._note(hook, job.delivery, "throttled", None)
            raise ThrottledError(retry_after_seconds=max(1, math.ceil(receipt.retry_after_seconds)))
        if receipt.mismatch:
            await self._note(hook, job.delivery, "duplicate", "other_bytes_under_the_same_key")
            raise _contradiction(job)
        if receipt.duplicate:
            await self._note(hook, job.delivery, "duplicate", None)
        if not receipt.live_drain:
            await self._wake()
        return _answer(job, receipt.delivery_id, receipt.duplicate)

    def _limits(self, hook: Hook) -> list[Limit]:
        """The limits of this webhook and of its tenant."""
        limits = []
        if own := hook.config.get("rate_limit"):
            per_second = own["per_minute"] / 60
            limits.append(Limit(f"webhook:{hook.id}", per_second, own.get("burst", max(1, int(per_second)))))
        if shared := self._services.settings.tenant_deliveries_per_second:
            limits.append(Limit(f"tenant:{hook.tenant_id}", shared, shared))
        return limits

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
        emit({"DeliveriesSpilled": 1}, service="intake")
        return _answer(job, spilled.delivery_id, spilled.duplicate)

    async def _wake(self) -> None:
        from shared.queue.wake import wake_drain

        try:
            await wake_drain(self._services.inbox)
        except QueueUnavailableError:
            # The job is in; the schedule's drain finds it.
            logger.warning("drain_not_woken")


def _job(hook: Hook, provider: Provider, delivery: Delivery, signed_at: str | None, now: float) -> ExecutionJob:
    facts = _facts(hook, delivery, now)
    key = delivery_key(provider, delivery, facts["body_sha256"], signed_at)
    facts["delivery_key"] = storable(key)
    facts["event_type"] = storable(event_type(provider, delivery))
    if hook.config.get("keep_raw_body"):
        facts["keep_raw_body"] = True
    awaited = hook.config.get("response") == WAIT
    return ExecutionJob(hook.tenant_id, derived_id("delivery", hook.id, key), "delivery", facts, awaited=awaited)


def _facts(hook: Hook, delivery: Delivery, now: float) -> dict[str, Any]:
    body, encoding = _as_text(delivery.body)
    secret_headers = SECRET_HEADERS | hook.secret_headers
    headers = _texts({n: value for n, value in delivery.headers.items() if n not in secret_headers})
    if hook.body_is_token:
        # Senders call it text, or JSON; this is what makes a run see its claims.
        headers["content-type"] = JWT
    return {
        "workflow_id": hook.workflow_id,
        "node_id": hook.node_id,
        "webhook_id": hook.id,
        "provider": hook.provider_id,
        "delivery_id": new_id(),
        "delivery_key": None,
        "event_type": None,
        "received_at": timestamp(now),
        "method": delivery.method,
        "headers": headers,
        "query": _texts({n: value for n, value in delivery.query.items() if n not in hook.secret_parameters}),
        "body": body,
        "body_encoding": encoding,
        "body_sha256": hashlib.sha256(delivery.body).hexdigest(),
        "size_bytes": len(delivery.body),
        "content_type": headers.get("content-type", ""),
        **(cause.metadata() if (cause := current()) is not None else {}),
    }


def _arrived(hook: Hook, arrival: Arrival) -> dict[str, Any]:
    delivery = Delivery(arrival.method, arrival.headers, arrival.body, arrival.query)
    return _facts(hook, delivery, time.time())


def _replied(hook: Hook, delivery: Delivery, answer: Answer) -> Answer:
    """The answer as the webhook's configuration, or else the provider, wants it."""
    wanted = hook.config.get("response")
    if wanted:
        headers = dict(wanted.get("headers", {}))
        kind = next((headers.pop(name) for name in list(headers) if name.lower() == "content-type"), "text/plain")
        return Answer(wanted.get("status", 200), wanted.get("body", "").encode(), kind, headers)
    if hook.provider is not None and hook.provider.reply is not None:
        return hook.provider.reply.answer(Facts(delivery)) or answer
    return answer


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


def _contradiction(job: ExecutionJob) -> ConflictError:
    logger.warning("delivery_contradicts", extra={"execution_id": job.execution_id, "tenant_id": job.tenant_id})
    return ConflictError("Another body was delivered under this id before.")
