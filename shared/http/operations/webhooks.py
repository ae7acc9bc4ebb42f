"""/api/webhooks and /api/webhook-providers"""

from __future__ import annotations

from shared.errors import NotPublishedError, StreamConflictError, UnprocessableError
from shared.http.operation import Answer, Operation, RequestHeader

TAG = "Webhooks"
IDEMPOTENCY_KEY = RequestHeader(
    "Idempotency-Key",
    "1 to 255 characters. Under one key each delivery is run again once.",
    {"type": "string", "minLength": 1, "maxLength": 255},
)
CREATE_WEBHOOK = Operation(
    id="create_webhook",
    method="POST",
    path="/api/webhooks",
    summary="Create a webhook",
    description=(
        "The secret is shown in this response and never again. Without one, one is generated where you may choose it; "
        "one that the provider makes must be given, now or, with the status awaiting_secret, later."
    ),
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body="webhooks.create_webhook:CreateWebhook",
    answers={201: Answer("The new webhook", "webhooks:CreatedWebhookView", {"Location": "Where the webhook is."})},
    errors=(UnprocessableError,),
)
LIST_WEBHOOKS = Operation(
    id="list_webhooks",
    method="GET",
    path="/api/webhooks",
    summary="List webhooks",
    description="Newest first.",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    query="webhooks:ListWebhooks",
    answers={200: Answer("A page of webhooks", "webhooks:WebhookPage")},
)
GET_WEBHOOK = Operation(
    id="get_webhook",
    method="GET",
    path="/api/webhooks/{id}",
    summary="Get a webhook",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    answers={200: Answer("The webhook", "webhooks:WebhookView")},
)
UPDATE_WEBHOOK = Operation(
    id="update_webhook",
    method="PUT",
    path="/api/webhooks/{id}",
    summary="Replace a webhook",
    description=(
        "Counts for deliveries within ten seconds. Without a secret, the present one stays. From `active` on, what the "
        "webhook holds is run."
    ),
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body="webhooks.update_webhook:UpdateWebhook",
    answers={200: Answer("The webhook", "webhooks:WebhookView")},
    errors=(StreamConflictError, UnprocessableError, NotPublishedError),
)
DELETE_WEBHOOK = Operation(
    id="delete_webhook",
    method="DELETE",
    path="/api/webhooks/{id}",
    summary="Delete a webhook",
    description="Its address answers 404 within ten seconds. Held deliveries are run.",
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    answers={204: Answer("Deleted")},
    errors=(StreamConflictError,),
)
ROTATE_WEBHOOK_SECRET = Operation(
    id="rotate_webhook_secret",
    method="POST",
    path="/api/webhooks/{id}/rotate-secret",
    summary="Rotate a webhook's secret",
    description="Both secrets verify during the grace period. The new one is shown in this response and never again.",
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body="webhooks.rotate_webhook_secret:RotateWebhookSecret",
    answers={200: Answer("The new secret", "webhooks:RotatedSecretView")},
    errors=(StreamConflictError, UnprocessableError),
)
LIST_DELIVERIES = Operation(
    id="list_deliveries",
    method="GET",
    path="/api/webhooks/{id}/deliveries",
    summary="List deliveries",
    description="The delivery log, newest first.",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    query="webhooks:ListDeliveries",
    answers={200: Answer("A page of the delivery log", "webhooks:DeliveryPage")},
)
GET_DELIVERY = Operation(
    id="get_delivery",
    method="GET",
    path="/api/webhooks/{id}/deliveries/{delivery_id}",
    summary="Get a delivery",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    answers={200: Answer("The delivery", "webhooks:WholeDeliveryView")},
)
REDELIVER = Operation(
    id="redeliver",
    method="POST",
    path="/api/webhooks/{id}/deliveries/{delivery_id}/redeliver",
    summary="Run a delivery again",
    description=(
        "Starts a new run with the same body, headers and query, whatever its verdict. One that did not "
        "verify is run with `include_unverified` alone, and is 422 without."
    ),
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body="webhooks.redeliver:Redeliver",
    headers=(IDEMPOTENCY_KEY,),
    answers={202: Answer("The new run", "webhooks:RedeliveryView", {"Location": "Where the run is."})},
    errors=(UnprocessableError, NotPublishedError),
)
REDELIVER_MANY = Operation(
    id="redeliver_many",
    method="POST",
    path="/api/webhooks/{id}/deliveries/redeliver",
    summary="Run many deliveries again",
    description=(
        "Newest first, up to `limit` in a call; go on with `next_cursor` until it is null. Send an Idempotency-Key, "
        "so that a call which failed can be repeated. Those that did not verify are left out, and counted, unless the "
        "request includes them."
    ),
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body="webhooks.redeliver_many:RedeliverMany",
    headers=(IDEMPOTENCY_KEY,),
    answers={202: Answer("The new runs", "webhooks:RedeliveriesView")},
    errors=(NotPublishedError,),
)
LIST_WEBHOOK_PROVIDERS = Operation(
    id="list_webhook_providers",
    method="GET",
    path="/api/webhook-providers",
    summary="List the webhook providers",
    description="Every provider whose deliveries can be verified.",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    answers={200: Answer("The catalog", "webhooks:ProviderList")},
)
OPERATIONS = (
    CREATE_WEBHOOK,
    LIST_WEBHOOKS,
    GET_WEBHOOK,
    UPDATE_WEBHOOK,
    DELETE_WEBHOOK,
    ROTATE_WEBHOOK_SECRET,
    LIST_DELIVERIES,
    GET_DELIVERY,
    REDELIVER,
    REDELIVER_MANY,
    LIST_WEBHOOK_PROVIDERS,
)
