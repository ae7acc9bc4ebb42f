"""Take a delivery: match, verify, dedupe, enqueue, answer. Nothing of a body is parsed before it verifies."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.bootstrap import Services
from shared.domain.webhook.delivery import DeliveryRecord, queued
from shared.errors import ConflictError, GoneError, InvalidSignatureError, NotFoundError
from shared.ids import is_uuid
from shared.json_types import JsonObject
from shared.platform.deadline import within
from shared.queue.connection import CircuitBreaker
from shared.queue.job import ExecutionJob
from shared.webhooks.acceptance import takes_address, takes_event
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.intake.delivery_key import job_of
from shared.webhooks.intake.delivery_log import IntakeLog
from shared.webhooks.intake.enqueue import Enqueuer
from shared.webhooks.intake.request import WebhookRequest, delivery_record_of
from shared.webhooks.intake.webhook_cache import LONG_SECONDS, CachedWebhook, Closed, WebhookCache, gone
from shared.webhooks.providers.handshake import Handshake, HandshakeAnswer, answer, is_challenge, unusable
from shared.webhooks.providers.provider import Provider
from shared.webhooks.response import Answer, json_answer
from shared.webhooks.signatures.comparison import keys_of
from shared.webhooks.signatures.verification import Verification, verify

if TYPE_CHECKING:
    from shared.webhooks.signatures.fetched_keys import FetchedKeys

logger = logging.getLogger(__name__)

NO_WEBHOOK = "There is no such webhook."


class Examination(NamedTuple):
    """What a request is: a handshake with its answer, or a delivery with its verdict; neither for a method that the
    provider does not use. A handshake that was asked for under a signature has both."""

    handshake: HandshakeAnswer | None = None
    verification: Verification | None = None


class Intake:
    """Takes deliveries. One per process."""

    def __init__(self, services: Services, filters_out: Callable[[str, JsonObject], Awaitable[str | None]]) -> None:
        """Uses the process's services; `filters_out` says why a webhook's filter keeps out what would be the trigger of
        a run, if it does."""
        self._filters_out = filters_out
        self._services = services
        circuit = CircuitBreaker()
        self._hooks, self._log = WebhookCache(services, circuit), IntakeLog(services, circuit)
        self._enqueuer = Enqueuer(services, circuit, self._log)

    async def take(self, request: WebhookRequest) -> Answer:
        """The answer to a request; refusals are raised as the errors of the API's contract.

        Whatever the webhook's state, a request is verified first: what is forged is refused alike, and until something
        has verified nobody learns of a webhook whose workflow is not published.
        """
        hook = await self._match(request)
        delivery, now = _delivery_of(hook, request, self._services.settings.public_url), time.time()
        provider, examined = await self._examined(hook, delivery, request.source_ip, now)
        if examined.handshake is not None:
            return await self._shake(hook, delivery, now, examined)
        assert examined.verification is not None, "neither is refused"
        job = job_of(hook, provider, delivery, examined.verification.timestamp, delivery_record_of(hook, delivery, now))
        if closed := _closed(hook):
            await self._log.log_delivery(hook, job.delivered, closed, None)
            raise gone(closed)
        if hook.provider_id == "custom" and not hook.config.get("live"):
            return await self._go_live(hook)
        if (reason := await self._kept_out(hook, job)) is not None:
            await self._log.log_delivery(hook, job.delivered, "filtered", reason)
            return json_answer(200, {"filtered": True})
        if hook.is_holding and (held := await self._held(hook, job)) is not None:
            return replied(hook, delivery, held)
        try:
            accepted = await self._enqueuer.accept(hook, job)
        except GoneError:
            self._hooks.forget(hook.id)
            raise
        return await self._run_answer(request, job, accepted, now) or replied(hook, delivery, accepted)

    async def _examined(
        self, hook: CachedWebhook, delivery: Delivery, source_ip: str, now: float
    ) -> tuple[Provider, Examination]:
        """The webhook's provider, and a handshake or a delivery that has verified; anything else is refused."""
        if hook.config.get("ip_allow") and not takes_address(hook.config, source_ip):
            raise await self._refused(hook, delivery, now, f"ip_not_allowed: {source_ip[:45]}")
        if hook.provider is None:
            raise await self._refused(hook, delivery, now, "config_unusable")
        provider, secrets = hook.provider, hook.usable_secrets(now)
        keys = await self._fetched_keys(hook, provider, delivery, now) if provider.scheme.fetch else ()
        examined = examine(provider, delivery, secrets, now, keys)
        if examined.handshake is not None:
            return provider, examined
        if examined.verification is None:
            raise NotFoundError("There is no such handshake." if hook.is_published else NO_WEBHOOK)
        if hook.awaits_secret:
            raise await self._refused(hook, delivery, now, "secret_missing: the webhook has not been given its secret")
        if examined.verification.reason is not None:
            raise await self._refused(hook, delivery, now, examined.verification.reason)
        return provider, examined

    async def _go_live(self, hook: CachedWebhook) -> Answer:
        from shared.commands.webhooks.go_live import go_live

        with within(LONG_SECONDS):
            await go_live(self._services, hook.tenant_id, hook.id)
        self._hooks.forget(hook.id)
        return json_answer(200, {"verified": True, "live": True})

    async def _kept_out(self, hook: CachedWebhook, job: ExecutionJob) -> str | None:
        """Why the webhook does not ask for this delivery; `None` where it does."""
        if hook.config.get("event_types") and not takes_event(hook.config, job.delivered["event_type"]):
            return "event_types"
        expression = hook.config.get("filter")
        return await self._filters_out(expression, queued(job.delivered).trigger) if expression else None

    async def _held(self, hook: CachedWebhook, job: ExecutionJob) -> Answer | None:
        """The answer to a delivery that is kept until the webhook is active again; `None` where it already is."""
        held = await self._enqueuer.hold(hook, job)
        if not isinstance(held, str):
            return held
        # Whoever changed the status has not told everybody yet.
        self._hooks.forget(hook.id)
        if held == "active":
            return None
        await self._log.log_delivery(hook, job.delivered, "paused", None)
        raise gone("paused")

    async def _run_answer(
        self, request: WebhookRequest, job: ExecutionJob, accepted: Answer, arrived_at: float
    ) -> Answer | None:
        """What the run responds; `None` where the webhook does not want that."""
        if not job.client_is_waiting:
            return None
        from shared.webhooks.intake.sync_response import MAX_WAIT_SECONDS, run_answer  # what other webhooks do without

        base = self._services.settings.public_url or f"https://{request.headers.get('host', '')}"
        left = arrived_at + MAX_WAIT_SECONDS - time.time()
        return await run_answer(self._services, job, accepted, base, left)

    async def _shake(self, hook: CachedWebhook, delivery: Delivery, now: float, examined: Examination) -> Answer:
        """The answer to a handshake, after what it asks for has been done."""
        handshake, verified = examined.handshake, examined.verification is not None
        assert handshake is not None, "only handshakes come here"
        if closed := _closed(hook):
            await self._log.log_delivery(hook, delivery_record_of(hook, delivery, now), "handshake", closed, verified)
            raise gone(closed) if verified or hook.is_published else NotFoundError(NO_WEBHOOK)
        if handshake.stores is not None:
            from shared.commands.webhooks.keep_handshake_secret import keep_handshake_secret

            try:
                with within(LONG_SECONDS):
                    await keep_handshake_secret(self._services, hook.tenant_id, hook.id, handshake.stores)
            except ConflictError:
                raise await self._refused(hook, delivery, now, "handshake_refused: the secret is set") from None
            self._hooks.forget(hook.id)
        if handshake.fetch is not None:
            from shared.webhooks.signatures.fetched_keys import fetch_document

            if await fetch_document(handshake.fetch, self._reachable(hook)) is None:
                raise await self._refused(hook, delivery, now, "handshake_refused: its URL did not answer")
        reason = None if handshake.accepted else "refused"
        await self._log.log_delivery(hook, delivery_record_of(hook, delivery, now), "handshake", reason, verified)
        return handshake.answer

    @cached_property
    def _keys(self) -> FetchedKeys:
        """What providers of public keys need."""
        from shared.webhooks.signatures.fetched_keys import FetchedKeys

        return FetchedKeys()

    async def _fetched_keys(self, hook: CachedWebhook, provider: Provider, delivery: Delivery, now: float) -> list[Any]:
        return await self._keys.find(provider.scheme, delivery, now, self._reachable(hook))

    def _reachable(self, hook: CachedWebhook) -> frozenset[str]:
        """The hosts that this webhook's tenant may reach although they are not public."""
        from shared.nodes.outbound import allowed_of  # with httpx, which only providers of public keys need

        return allowed_of(hook.tenant_id, self._services.settings.outbound_allow)

    async def _refused(
        self, hook: CachedWebhook, delivery: Delivery, now: float, reason: str
    ) -> InvalidSignatureError | NotFoundError:
        """The refusal, recorded. The reason is for the webhook's owner; a sender who must guess learns nothing, not
        even that there is a webhook where its workflow is not published."""
        verdict = "rejected_signature"
        if hook.provider is not None:
            from shared.webhooks.intake.diagnosis import diagnose

            verdict, reason = diagnose(hook.provider, delivery, hook.usable_secrets(now), now, reason)
        logger.info("delivery_refused", extra={"webhook_id": hook.id, "tenant_id": hook.tenant_id, "reason": reason})
        await self._log.log_delivery(hook, delivery_record_of(hook, delivery, now), verdict, reason)
        return InvalidSignatureError() if hook.is_published else NotFoundError(NO_WEBHOOK)

    async def _match(self, request: WebhookRequest) -> CachedWebhook:
        hook = await self._hooks.find(request.webhook_id) if is_uuid(request.webhook_id) else None
        if hook is None:
            raise NotFoundError(NO_WEBHOOK)
        if hook.provider_id != request.provider_id:
            reason = f"wrong_provider_path: {request.provider_id[:64]}"
            await self._log.log_delivery(hook, self._arrived(hook, request), "rejected_malformed", reason)
            raise NotFoundError(NO_WEBHOOK)
        return hook

    def _arrived(self, hook: CachedWebhook, request: WebhookRequest) -> DeliveryRecord:
        return delivery_record_of(hook, _delivery_of(hook, request, self._services.settings.public_url), time.time())


def _delivery_of(hook: CachedWebhook, request: WebhookRequest, public_url: str | None) -> Delivery:
    """What the webhook's scheme looks at; `public_url` is where this API is reached from outside."""
    return Delivery(
        method=request.method,
        headers=request.headers,
        body=request.body,
        query=request.query,
        url=hook.config.get("url") or f"{public_url or ''}/webhooks/{hook.id}/{hook.provider_id}",
        config=hook.config,
        raw_query=request.raw_query,
    )


def replied(hook: CachedWebhook, delivery: Delivery, answer: Answer) -> Answer:
    """The answer to what was taken, as the webhook's configuration, or else its provider, wants it."""
    wanted = hook.config.get("response")
    if wanted:
        headers = dict(wanted.get("headers", {}))
        kind = next((headers.pop(name) for name in list(headers) if name.lower() == "content-type"), "text/plain")
        return Answer(wanted.get("status", 200), wanted.get("body", "").encode(), kind, headers)
    if hook.provider is not None and hook.provider.reply is not None:
        return hook.provider.reply.answer(SignatureContext(delivery)) or answer
    return answer


def examine(
    provider: Provider, delivery: Delivery, secrets: Sequence[str], now: float, public_keys: Sequence[object] = ()
) -> Examination:
    """The examination of a request at Unix time `now`; `public_keys` are fetched ones, where the scheme wants some.

    The order is the same at intake and offline: unsigned handshakes, signature and time, signed handshakes. Nothing is
    parsed, decompressed or deduplicated before it has verified.
    """
    asked = [handshake for handshake in provider.handshakes if handshake.method == delivery.method]
    faulty = [handshake for handshake in asked if handshake.unusable]
    if shaken := _shaken(provider, asked, delivery, secrets, verified=False):
        return Examination(shaken)
    if delivery.method != "POST" and not asked:
        return Examination()
    verification = verify(provider.scheme, delivery, secrets, now, public_keys)
    if provider.refuses_challenges and verification.accepted and is_challenge(delivery.body):
        # We sign such texts for anybody who asks; as a delivery this one proves nothing.
        verification = Verification("body_malformed: it has the form of a challenge")
    if faulty and (why := unusable(faulty, delivery, verified=verification.accepted)):
        verification = Verification(f"config_unusable: {why}")
    if verification.reason is not None:
        return Examination(verification=verification)
    if shaken := _shaken(provider, asked, delivery, secrets, verified=True):
        return Examination(shaken, verification)
    return Examination(verification=verification) if delivery.method == "POST" else Examination()


def _shaken(
    provider: Provider, handshakes: Sequence[Handshake], delivery: Delivery, secrets: Sequence[str], *, verified: bool
) -> HandshakeAnswer | None:
    """The answer to the first handshake that the delivery is, of the signed ones once it has `verified`."""
    candidates = [handshake for handshake in handshakes if handshake.signed is verified]
    if not candidates:
        return None
    keys = keys_of(provider.scheme.key, secrets, delivery) if provider.scheme.kind != "asymmetric" else []
    secret, key = keys[0] if keys else (None, None)
    return answer(candidates, delivery, verified=verified, secret=secret, key=key)


def _closed(hook: CachedWebhook) -> Closed | None:
    """Why the webhook takes nothing; `None` where it does. One that holds its deliveries takes them in any case."""
    if not hook.is_active:
        return "paused"
    return None if hook.is_published or hook.is_holding else "unpublished"
