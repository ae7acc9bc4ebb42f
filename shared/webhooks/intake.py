"""Take a delivery: match, verify, dedupe, enqueue, answer. Nothing of a body is parsed before it verifies."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.commands.services import Services
from shared.deadline import within
from shared.domain.delivery import DeliveryRecord, queued
from shared.errors import (
    ConflictError,
    GoneError,
    InvalidSignatureError,
    NotFoundError,
)
from shared.ids import is_uuid
from shared.queue.job import ExecutionJob
from shared.webhooks.answer import Answer, json_answer
from shared.webhooks.arrival import Arrival, facts_of, job_of
from shared.webhooks.deadlines import LONG_SECONDS
from shared.webhooks.delivery import Delivery
from shared.webhooks.detour import Detour
from shared.webhooks.door import takes_address, takes_event
from shared.webhooks.examination import examine
from shared.webhooks.handover import Handover
from shared.webhooks.handshake import HandshakeAnswer
from shared.webhooks.hooks import Hook, Hooks
from shared.webhooks.provider import Provider
from shared.webhooks.words import Facts

if TYPE_CHECKING:
    from shared.webhooks.fetched_keys import FetchedKeys

logger = logging.getLogger(__name__)


class Intake:
    """Takes deliveries. One per process."""

    def __init__(self, services: Services, filters_out: Callable[[str, dict[str, Any]], Awaitable[str | None]]) -> None:
        """Uses the process's services; `filters_out` says why a webhook's filter keeps out what would be the trigger of
        a run, if it does."""
        self._filters_out = filters_out
        self._services = services
        detour = Detour()
        self._hooks, self._handover = Hooks(services, detour), Handover(services, detour)

    async def take(self, arrival: Arrival) -> Answer:
        """The answer to a request; refusals are raised as the errors of the API's contract."""
        hook = await self._match(arrival)
        delivery = arrival.delivery(hook, self._services.settings.public_url)
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

            with within(LONG_SECONDS):
                await go_live(self._services, hook.tenant_id, hook.id)
            self._hooks.forget(hook.id)
            return json_answer(200, {"verified": True, "live": True})
        job = job_of(hook, provider, delivery, examined.verification.timestamp, facts_of(hook, delivery, now))
        assert job.delivery is not None, "intake makes jobs of deliveries"
        if not takes_event(hook.config, job.delivery["event_type"]):
            await self._handover.note(hook, job.delivery, "filtered", "event_types")
            return json_answer(200, {"filtered": True})
        if expression := hook.config.get("filter"):
            reason = await self._filters_out(expression, queued(job.delivery).trigger)
            if reason is not None:
                await self._handover.note(hook, job.delivery, "filtered", reason)
                return json_answer(200, {"filtered": True})
        accepted = await self._handover.accept(hook, job)
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
                with within(LONG_SECONDS):
                    await keep_handshake_secret(self._services, hook.tenant_id, hook.id, found.stores)
            except ConflictError:
                raise await self._refused(hook, delivery, now, "handshake_refused: the secret is set") from None
            self._hooks.forget(hook.id)
        if found.fetch is not None:
            from shared.webhooks.fetched_keys import fetch_document

            if await fetch_document(found.fetch, self._reachable(hook)) is None:
                raise await self._refused(hook, delivery, now, "handshake_refused: its URL did not answer")
        await self._handover.note(
            hook, facts_of(hook, delivery, now), "handshake", None if found.accepted else "refused"
        )
        return found.answer

    @cached_property
    def _keys(self) -> FetchedKeys:
        """What providers of public keys need."""
        from shared.webhooks.fetched_keys import FetchedKeys

        return FetchedKeys()

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
        await self._handover.note(hook, facts_of(hook, delivery, now), verdict, reason)
        return InvalidSignatureError()

    async def _match(self, arrival: Arrival) -> Hook:
        hook = await self._hooks.find(arrival.webhook_id) if is_uuid(arrival.webhook_id) else None
        if hook is None:
            raise NotFoundError("There is no such webhook.")
        if hook.provider_id != arrival.provider_id:
            await self._handover.note(
                hook,
                self._arrived(hook, arrival),
                "rejected_malformed",
                f"wrong_provider_path: {arrival.provider_id[:64]}",
            )
            raise NotFoundError("There is no such webhook.")
        if not hook.is_active:
            await self._handover.note(hook, self._arrived(hook, arrival), "paused", None)
            raise GoneError
        if not hook.is_published:
            raise GoneError("This webhook's workflow is not published.")
        return hook

    def _arrived(self, hook: Hook, arrival: Arrival) -> DeliveryRecord:
        return facts_of(hook, arrival.delivery(hook, self._services.settings.public_url), time.time())


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
