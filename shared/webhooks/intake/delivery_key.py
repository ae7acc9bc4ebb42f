"""What makes a delivery this one and no other, what kind of event it tells of, and the job that it becomes.

By its key a repetition is recognised: in Redis by `queue/lua/deduplicate_and_add.lua`, in Supabase by `fallback_store`.
"""

from __future__ import annotations

import hashlib

from shared.domain.webhook.delivery import DeliveryRecord, identified
from shared.ids import derived_id
from shared.queue.job import ExecutionJob
from shared.webhooks.delivery import Delivery, SignatureContext
from shared.webhooks.intake.request import hidden
from shared.webhooks.intake.webhook_cache import CachedWebhook
from shared.webhooks.providers.provider import Provider

# Longer ids are hashed: a key must fit into an index of the database.
MAX_ID_CHARACTERS = 200
MAX_EVENT_TYPE_CHARACTERS = 200


def job_of(
    webhook: CachedWebhook, provider: Provider, delivery: Delivery, signed_at: str | None, arrived: DeliveryRecord
) -> ExecutionJob:
    """The job of the run that a verified delivery asks for. The same key makes the same execution id, by which a
    repeated delivery is recognised. `signed_at` is the timestamp that its signature covers."""
    key, kind = delivery_key(provider, delivery, arrived["body_sha256"], signed_at), event_type(provider, delivery)
    # Both are shown, and a sender may have put a secret where they are read.
    key, kind = hidden(webhook, (key, kind or ""))
    keeps_raw = bool(webhook.config.get("keep_raw_body"))
    record = identified(arrived, key, kind or None, keep_raw_body=keeps_raw)
    execution_id = derived_id("delivery", webhook.id, key)
    return ExecutionJob(webhook.tenant_id, execution_id, "delivery", record, client_is_waiting=webhook.answers_with_run)


def delivery_key(provider: Provider, delivery: Delivery, body_sha256: str, timestamp: str | None) -> str:
    """The idempotency key of the delivery: deliveries with the same key make one run.

    The provider's id alone where it is signed; another body under the same id is a conflict then. An id that is not
    signed is joined with the body's hash, or anybody could send an old body under a new id, or use up an id before the
    provider does. Without an id, the hash of the body, with the timestamp where that is signed.
    """
    context = SignatureContext(delivery)
    parts = [field.as_text(context) or "" for field in provider.delivery_id]
    if parts and all(parts):
        sent_id = ":".join(parts)
        delivery_id = sent_id if len(sent_id) <= MAX_ID_CHARACTERS else hashlib.sha256(_bytes(sent_id)).hexdigest()
        return delivery_id if provider.delivery_id_signed else f"{delivery_id}:{body_sha256}"
    if provider.scheme.signs_timestamp and timestamp is not None:
        return f"{timestamp}:{body_sha256}"
    return body_sha256


def event_type(provider: Provider, delivery: Delivery) -> str | None:
    """The event's type, like `push` or `pull_request.opened`; `None` where the delivery does not say."""
    context = SignatureContext(delivery)
    parts = [text for field in provider.event_type if (text := field.as_text(context))]
    return ".".join(parts)[:MAX_EVENT_TYPE_CHARACTERS] or None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
