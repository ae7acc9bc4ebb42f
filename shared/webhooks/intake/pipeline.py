"""Takes a delivery: match, verify, deduplicate, enqueue, answer. Nothing of a body is parsed before it verifies."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.bootstrap import Services
from shared.domain.webhook.delivery import DeliveryRecord, queued
from shared.errors import ConflictError, GoneError, InvalidSignatureError, NotFoundError, UnavailableError
from shared.ids import is_uuid
from shared.json_types import JsonObject
from shared.platform.deadline import within
from shared.queue.connection import CircuitBreaker
from shared.queue.job import ExecutionJob
from shared.webhooks.delivery import Answer, Delivery, SignatureContext, json_answer
from shared.webhooks.intake.delivery_key import job_of
from shared.webhooks.intake.delivery_log import IntakeLog
from shared.webhooks.intake.enqueue import Enqueuer
from shared.webhooks.intake.request import WebhookRequest, delivery_record_of, hidden
from shared.webhooks.intake.webhook_cache import LONG_SECONDS, CachedWebhook, Closed, WebhookCache, gone
from shared.webhooks.providers.handshake import Handshake, HandshakeAnswer, answer, is_challenge, unusable
from shared.webhooks.providers.provider import Provider
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
        """`filters_out` is called with a webhook's filter and what would be the run's trigger: why the filter keeps the
        delivery out, `None` where it does not."""
        self._filters_out = filters_out
        self._services = services
        circuit = CircuitBreaker()
        self._webhooks, self._log = WebhookCache(services, circuit), IntakeLog(services, circuit)
        self._enqueuer = Enqueuer(services, circuit, self._log)

    async def take(self, request: WebhookRequest) -> Answer:
        """The answer to a request; refusals are raised as the errors of the API's contract.

        Whatever the webhook's state, a request is verified first: forged ones are refused alike, and only a sender
        whose delivery verifies learns of a webhook whose workflow is not published.
        """
        webhook = await self._match(request)
        delivery, now = _delivery_of(webhook, request, self._services.settings.public_url), time.time()
        if webhook.is_unreadable:
            raise await self._unreadable(webhook, delivery, now)
        provider, examined = await self._examined(webhook, delivery, request.source_ip, now)
        if examined.handshake is not None:
            return await self._shake(webhook, delivery, now, examined)
        assert examined.verification is not None, "neither is refused"
        job = job_of(
            webhook, provider, delivery, examined.verification.timestamp, delivery_record_of(webhook, delivery, now)
        )
        if closed := _closed(webhook):
            await self._log.log_delivery(webhook, job.delivered, closed, None)
            raise gone(closed)
        # A user-defined scheme starts no runs until one delivery has verified: it proves that the scheme is right.
        if webhook.provider_id == "custom" and not webhook.config.get("live"):
            return await self._go_live(webhook)
        if (reason := await self._kept_out(webhook, job)) is not None:
            await self._log.log_delivery(webhook, job.delivered, "filtered", reason)
            return json_answer(200, {"filtered": True})
        if webhook.is_holding and (held := await self._held(webhook, job)) is not None:
            return replied(webhook, delivery, held)
        try:
            accepted = await self._enqueuer.accept(webhook, job)
        except GoneError:  # Redis knows that the workflow was unpublished; this process's copy does not
            self._webhooks.forget(webhook.id)
            raise
        return await self._run_answer(request, job, accepted, now) or replied(webhook, delivery, accepted)

    async def _examined(
        self, webhook: CachedWebhook, delivery: Delivery, source_ip: str, now: float
    ) -> tuple[Provider, Examination]:
        """The webhook's provider, and the examination of a handshake or of a delivery that has verified; all others
        are refused."""
        if webhook.config.get("ip_allow") and not _takes_address(webhook, source_ip):
            raise await self._refused(webhook, delivery, now, f"ip_not_allowed: {source_ip[:45]}")
        if webhook.provider is None:
            raise await self._refused(webhook, delivery, now, "config_unusable")
        provider, secrets = webhook.provider, webhook.usable_secrets(now)
        keys = await self._fetched_keys(webhook, provider, delivery, now) if provider.scheme.fetch else ()
        examined = examine(provider, delivery, secrets, now, keys)
        if examined.handshake is not None:
            return provider, examined
        if examined.verification is None:
            raise NotFoundError("There is no such handshake." if webhook.is_published else NO_WEBHOOK)
        if webhook.awaits_secret:
            raise await self._refused(
                webhook, delivery, now, "secret_missing: the webhook has not been given its secret"
            )
        if examined.verification.reason is not None:
            raise await self._refused(webhook, delivery, now, examined.verification.reason)
        return provider, examined

    async def _go_live(self, webhook: CachedWebhook) -> Answer:
        from shared.commands.webhooks.go_live import go_live

        with within(LONG_SECONDS):
            await go_live(self._services, webhook.tenant_id, webhook.id)
        self._webhooks.forget(webhook.id)
        return json_answer(200, {"verified": True, "live": True})

    async def _kept_out(self, webhook: CachedWebhook, job: ExecutionJob) -> str | None:
        """Why the webhook's event types or filter keep this delivery out; `None` where they do not."""
        if webhook.config.get("event_types") and not _takes_event(webhook, job):
            return "event_types"
        expression = webhook.config.get("filter")
        return await self._filters_out(expression, queued(job.delivered).trigger) if expression else None

    async def _held(self, webhook: CachedWebhook, job: ExecutionJob) -> Answer | None:
        """The answer to a delivery that is held until the webhook is active again; `None` where it already is."""
        held = await self._enqueuer.hold(webhook, job)
        if not isinstance(held, str):
            return held
        # The status was changed while this process had the old one cached.
        self._webhooks.forget(webhook.id)
        if held == "active":
            return None
        await self._log.log_delivery(webhook, job.delivered, "paused", None)
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

    async def _shake(self, webhook: CachedWebhook, delivery: Delivery, now: float, examined: Examination) -> Answer:
        """The answer to a handshake, once its secret is stored and its URL fetched, where it asks for that."""
        handshake, verified = examined.handshake, examined.verification is not None
        assert handshake is not None, "only handshakes come here"
        if closed := _closed(webhook):
            await self._log.log_delivery(
                webhook, delivery_record_of(webhook, delivery, now), "handshake", closed, verified
            )
            raise gone(closed) if verified or webhook.is_published else NotFoundError(NO_WEBHOOK)
        if handshake.stores is not None:
            from shared.commands.webhooks.keep_handshake_secret import keep_handshake_secret

            try:
                with within(LONG_SECONDS):
                    await keep_handshake_secret(self._services, webhook.tenant_id, webhook.id, handshake.stores)
            except ConflictError:  # a second handshake must not replace the secret that the first one has set
                raise await self._refused(webhook, delivery, now, "handshake_refused: the secret is set") from None
            self._webhooks.forget(webhook.id)
        if handshake.fetch is not None:
            from shared.webhooks.signatures.fetched_keys import fetch_document

            if await fetch_document(handshake.fetch, self._reachable(webhook)) is None:
                raise await self._refused(webhook, delivery, now, "handshake_refused: its URL did not answer")
        reason = None if handshake.accepted else "refused"
        await self._log.log_delivery(webhook, delivery_record_of(webhook, delivery, now), "handshake", reason, verified)
        return handshake.answer

    @cached_property
    def _keys(self) -> FetchedKeys:
        """The cache of providers' public keys."""
        from shared.webhooks.signatures.fetched_keys import FetchedKeys

        return FetchedKeys()

    async def _fetched_keys(
        self, webhook: CachedWebhook, provider: Provider, delivery: Delivery, now: float
    ) -> list[Any]:
        return await self._keys.find(provider.scheme, delivery, now, self._reachable(webhook))

    def _reachable(self, webhook: CachedWebhook) -> frozenset[str]:
        """The hosts that this webhook's tenant may reach although they are not public."""
        from shared.nodes.outbound import allowed_of  # with httpx, which only providers of public keys need

        return allowed_of(webhook.tenant_id, self._services.settings.outbound_allow)

    async def _refused(
        self, webhook: CachedWebhook, delivery: Delivery, now: float, reason: str
    ) -> InvalidSignatureError | NotFoundError:
        """The refusal, logged. The reason is for the webhook's owner: a sender learns nothing that helps to forge, not
        even that the webhook exists where its workflow is not published."""
        verdict = "rejected_signature"
        if webhook.provider is not None:
            from shared.webhooks.intake.diagnosis import diagnose

            verdict, reason = diagnose(webhook.provider, delivery, webhook.usable_secrets(now), now, reason)
        (reason,) = hidden(webhook, (reason,))
        logger.info(
            "delivery_refused", extra={"webhook_id": webhook.id, "tenant_id": webhook.tenant_id, "reason": reason}
        )
        await self._log.log_delivery(webhook, delivery_record_of(webhook, delivery, now), verdict, reason)
        return InvalidSignatureError() if webhook.is_published else NotFoundError(NO_WEBHOOK)

    async def _unreadable(self, webhook: CachedWebhook, delivery: Delivery, now: float) -> UnavailableError:
        """The refusal of whatever comes to a webhook whose secrets cannot be decrypted: 503, so that senders repeat it
        once they can. Anything may have been meant for it, so it is logged."""
        reason = "secret_unreadable: the webhook's secret cannot be decrypted; the operator has been told"
        await self._log.log_delivery(webhook, delivery_record_of(webhook, delivery, now), "rejected_signature", reason)
        return UnavailableError("Deliveries to this webhook cannot be checked just now.", retry_after_seconds=60)

    async def _match(self, request: WebhookRequest) -> CachedWebhook:
        webhook = await self._webhooks.find(request.webhook_id) if is_uuid(request.webhook_id) else None
        if webhook is None:
            raise NotFoundError(NO_WEBHOOK)
        if webhook.provider_id != request.provider_id:
            (named,) = hidden(webhook, (request.provider_id,))
            reason = f"wrong_provider_path: {named[:64]}"
            await self._log.log_delivery(webhook, self._arrived(webhook, request), "rejected_malformed", reason)
            raise NotFoundError(NO_WEBHOOK)
        return webhook

    def _arrived(self, webhook: CachedWebhook, request: WebhookRequest) -> DeliveryRecord:
        return delivery_record_of(
            webhook, _delivery_of(webhook, request, self._services.settings.public_url), time.time()
        )


def _delivery_of(webhook: CachedWebhook, request: WebhookRequest, public_url: str | None) -> Delivery:
    """What the webhook's scheme looks at; `public_url` is where this API is reached from outside."""
    return Delivery(
        method=request.method,
        headers=request.headers,
        body=request.body,
        query=request.query,
        url=webhook.config.get("url") or f"{public_url or ''}/webhooks/{webhook.id}/{webhook.provider_id}",
        config=webhook.config,
        raw_query=request.raw_query,
    )


def replied(webhook: CachedWebhook, delivery: Delivery, answer: Answer) -> Answer:
    """The answer to an accepted delivery: as the webhook's configuration says, else as its provider wants it."""
    wanted = webhook.config.get("response")
    if wanted:
        headers = dict(wanted.get("headers", {}))
        kind = next((headers.pop(name) for name in list(headers) if name.lower() == "content-type"), "text/plain")
        return Answer(wanted.get("status", 200), wanted.get("body", "").encode(), kind, headers)
    if webhook.provider is not None and webhook.provider.reply is not None:
        return webhook.provider.reply.answer(SignatureContext(delivery)) or answer
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
        # In unsigned handshakes we sign such texts for anybody: the signature proves nothing.
        verification = Verification("body_malformed: it has the form of a challenge")
    if faulty and (why := unusable(faulty, delivery, verified=verification.accepted)):
        verification = Verification(f"config_unusable: {why}")
    if verification.reason is not None:
        return Examination(verification=verification)
    if shaken := _shaken(provider, asked, delivery, secrets, verified=True):
        return Examination(shaken, verification)
    # A request of another method is no delivery, even where its signature fits.
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


def _takes_address(webhook: CachedWebhook, address: str) -> bool:
    from shared.webhooks.acceptance import takes_address  # most webhooks take every address

    return takes_address(webhook.config, address)


def _takes_event(webhook: CachedWebhook, job: ExecutionJob) -> bool:
    from shared.webhooks.acceptance import takes_event  # most webhooks take every event

    return takes_event(webhook.config, job.delivered["event_type"])


def _closed(webhook: CachedWebhook) -> Closed | None:
    """Why the webhook takes no deliveries; `None` where it does. One that holds them takes them in any case."""
    if not webhook.is_active:
        return "paused"
    return None if webhook.is_published or webhook.is_holding else "unpublished"
