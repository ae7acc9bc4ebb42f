"""A request to a webhook's URL, and what is recorded of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from shared.domain.timestamps import timestamp
from shared.domain.webhook.delivery import JWT, DeliveryRecord, delivery_record
from shared.errors import PayloadTooLargeError
from shared.ids import new_id
from shared.json_types import JsonMapping
from shared.tracing import current_context
from shared.webhooks.delivery import Delivery
from shared.webhooks.intake.webhook_cache import CachedWebhook

# Lambda takes 6 MB an event, and JSON and base64 make a body longer.
MAX_BODY_BYTES = 4_500_000
# Headers that may have a sender's own credentials; the run sees the others.
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key"})


class WebhookRequest(NamedTuple):
    """A request to `/webhooks/{webhook_id}/{provider_id}`; `headers` by lower-case name."""

    webhook_id: str
    provider_id: str
    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    raw_query: str = ""
    source_ip: str = ""

    @classmethod
    def of(cls, event: JsonMapping) -> WebhookRequest:
        """The request in an event of an HTTP API (payload format 2.0); `PayloadTooLargeError`."""
        text, is_base64 = event.get("body") or "", event.get("isBase64Encoded", False)
        # Before it is decoded, which would hold a body that is too large in memory twice.
        if len(text) > MAX_BODY_BYTES * (4 / 3 if is_base64 else 1) + 4:
            raise _too_large()
        body = base64.b64decode(text) if is_base64 else text.encode("utf-8", "surrogatepass")
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
        http = event["requestContext"]["http"]
        return cls(
            webhook_id=event["pathParameters"]["webhookId"],
            provider_id=event["pathParameters"]["provider"],
            method=http["method"],
            headers=event["headers"],
            query=event.get("queryStringParameters") or {},
            body=body,
            raw_query=event.get("rawQueryString") or "",
            source_ip=http.get("sourceIp") or "",
        )


def _too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError(f"A delivery may have {MAX_BODY_BYTES} bytes.")


def hidden(webhook: CachedWebhook, texts: Sequence[str]) -> Sequence[str]:
    """The texts without the webhook's secrets, API keys and users' tokens, wherever a sender has put them."""
    joined = "\n".join(texts)
    # Cheap tests: nearly no delivery has any of these. What is encoded has a percent sign, or is in base64.
    if not any(sign in joined for sign in ("wk_", "eyJ", "%", *webhook.traces)):
        return texts
    from shared.webhooks.intake.misplaced_secrets import without_secrets

    return without_secrets(texts, [secret for secret, _ in webhook.secrets])


def _hidden(webhook: CachedWebhook, fields: dict[str, str]) -> dict[str, str]:
    """The same of headers or a query, of names and values alike."""
    texts = (*fields, *fields.values())
    left = hidden(webhook, texts)
    return fields if left is texts else dict(zip(left[: len(fields)], left[len(fields) :], strict=True))


def delivery_record_of(webhook: CachedWebhook, delivery: Delivery, now: float) -> DeliveryRecord:
    """The record of a delivery at Unix time `now`: what the delivery log keeps, and what its run sees."""
    body, encoding = _as_text(delivery.body)
    secret_headers = SECRET_HEADERS | webhook.secret_headers
    headers = {name: value for name, value in delivery.headers.items() if name not in secret_headers}
    query = {name: value for name, value in delivery.query.items() if name not in webhook.secret_parameters}
    headers, query = _hidden(webhook, headers), _hidden(webhook, query)
    if webhook.body_is_token:
        # Senders call a token text, or JSON; with this content type the run sees its claims.
        headers["content-type"] = JWT
    record: DeliveryRecord = {
        "workflow_id": webhook.workflow_id,
        "node_id": webhook.node_id,
        "webhook_id": webhook.id,
        "provider": webhook.provider_id,
        "delivery_id": new_id(),
        "delivery_key": None,
        "event_type": None,
        "received_at": timestamp(now),
        "method": delivery.method,
        "headers": headers,
        "query": query,
        "body": body,
        "body_encoding": encoding,
        "body_sha256": hashlib.sha256(delivery.body).hexdigest(),
        "size_bytes": len(delivery.body),
        "content_type": headers.get("content-type", ""),
    }
    if (cause := current_context()) is not None:
        record["correlation_id"] = cause.correlation_id
        if cause.trace is not None:
            record["trace"] = cause.trace
    return delivery_record(record)


def _as_text(body: bytes) -> tuple[str, Literal["utf8", "base64"]]:
    try:
        return body.decode("utf-8"), "utf8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
