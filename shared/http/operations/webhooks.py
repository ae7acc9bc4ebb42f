"""/api/webhooks and /api/webhook-providers"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from shared.commands.create_webhook import CreateWebhook
from shared.commands.model import Moment, Uuid
from shared.commands.redeliver_many import RedeliverMany
from shared.commands.rotate_webhook_secret import RotateWebhookSecret
from shared.commands.update_webhook import UpdateWebhook
from shared.domain.verdict import Verdict
from shared.errors import NotPublishedError, StreamConflictError, UnprocessableError
from shared.http.operation import Answer, Operation, RequestHeader
from shared.http.operations.views import Id, Object, Time, View, may_be_missing
from shared.http.query import PageQuery

TAG = "Webhooks"
IDEMPOTENCY_KEY = RequestHeader(
    "Idempotency-Key",
    "1 to 255 characters. Under one key each delivery is run again once.",
    {"type": "string", "minLength": 1, "maxLength": 255},
)


class WebhookView(View):
    """A webhook, without its secret."""

    id: Id
    name: str
    workflow_id: Id
    node_id: Annotated[str | None, Field(description="The trigger node; null: the workflow's only webhook trigger.")]
    provider: str
    config: Object
    status: Annotated[
        Literal["active", "paused", "awaiting_secret"],
        Field(description="awaiting_secret: deliveries are refused until the webhook is given its secret."),
    ]
    url: Annotated[str, Field(description="What the provider is given.")]
    last_triggered_at: Time | None
    created_at: Time
    updated_at: Time


class CreatedWebhookView(WebhookView):
    """A webhook with its secret, which is shown this once; null where it has none."""

    secret: str | None


class WebhookPage(View):
    """A page of webhooks."""

    items: list[WebhookView]
    next_cursor: str | None


class DeliveryView(View):
    """One delivery, with what became of it."""

    id: Id
    received_at: Time
    verdict: Verdict
    reason: str = may_be_missing("Why, where the verdict alone does not say.")
    delivery_key: str | None
    event_type: str | None
    execution_id: Id = may_be_missing()
    method: str = may_be_missing("Of a delivery that started no run; else it is in the run's trigger.")
    headers: Object
    query: Object = may_be_missing("Of a delivery that started no run; else it is in the run's trigger.")
    body_sha256: str | None
    size_bytes: int
    count: Annotated[int, Field(description="How many deliveries this line stands for: a flood is counted.")]


class WholeDeliveryView(DeliveryView):
    """One delivery with its body, where it was kept."""

    body: Any = may_be_missing()
    raw_body: str = may_be_missing("The bytes in base64, of a delivery that started no run, or with keep_raw_body.")


class RotatedSecretView(View):
    """A webhook's new secret, which is shown this once."""

    id: Id
    secret: str
    previous_secret_expires_at: Annotated[Time | None, Field(description="Until when the old one verifies.")]


class RedeliveryView(View):
    """The run that a delivery was given again."""

    execution_id: Id
    delivery_id: Id


class RedeliveredView(RedeliveryView):
    """The run that one of many deliveries was given again."""

    redelivery_of: Id


class RedeliveriesView(View):
    """What was run again in this call."""

    redelivered: int
    skipped: Annotated[int, Field(description="How many could not be: their bodies were not kept.")]
    items: list[RedeliveredView]
    next_cursor: Annotated[str | None, Field(description="For the next call; null when there are no more.")]


class DeliveryPage(View):
    """A page of the ledger."""

    items: list[DeliveryView]
    next_cursor: str | None


class ProviderView(View):
    """A provider of the catalog."""

    id: str
    title: str
    scheme: str
    headers: Object
    event_type: Annotated[str | None, Field(description="Where an event's type stands.")]
    delivery_id: Annotated[str | None, Field(description="Where a delivery's id stands.")]
    handshake: str | None
    documentation: str
    category: str
    setup: Annotated[str, Field(description="What to do in the provider's settings.")]
    secret: Annotated[str | None, Field(description="Where the provider shows the secret.")]
    secret_origin: Annotated[
        Literal["chosen", "provider", "handshake"] | None,
        Field(description="Who makes the secret: you (or it is generated), the provider, or its first handshake."),
    ]
    options: Annotated[Object, Field(description="What a webhook's config may set, each with its title.")]
    verified: Annotated[bool, Field(description="Whether the facts about it could be checked.")]
    warning: str | None


class ProviderList(View):
    """The catalog."""

    items: list[ProviderView]
    next_cursor: None


class ListWebhooks(PageQuery):
    """Which webhooks."""

    workflow_id: Uuid | None = None


class ListDeliveries(PageQuery):
    """Which deliveries."""

    verdict: Verdict | None = None
    since: Annotated[Moment | None, Field(description="Received then or later.")] = None
    until: Annotated[Moment | None, Field(description="Received before.")] = None
    event_type: Annotated[str | None, Field(description="Of this type exactly.", min_length=1, max_length=200)] = None


CREATE_WEBHOOK = Operation(
    id="create_webhook",
    method="POST",
    path="/api/webhooks",
    summary="Create a webhook",
    description=(
        "The secret is shown in this answer and never again. Without one, one is generated where you may choose it; "
        "one that the provider makes must be given, now or, with the status awaiting_secret, later."
    ),
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body=CreateWebhook,
    answers={201: Answer("The new webhook", CreatedWebhookView, {"Location": "Where the webhook is."})},
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
    query=ListWebhooks,
    answers={200: Answer("A page of webhooks", WebhookPage)},
)
GET_WEBHOOK = Operation(
    id="get_webhook",
    method="GET",
    path="/api/webhooks/{id}",
    summary="Get a webhook",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    answers={200: Answer("The webhook", WebhookView)},
)
UPDATE_WEBHOOK = Operation(
    id="update_webhook",
    method="PUT",
    path="/api/webhooks/{id}",
    summary="Replace a webhook",
    description="Counts for deliveries within ten seconds. Without a secret, the present one stays.",
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body=UpdateWebhook,
    answers={200: Answer("The webhook", WebhookView)},
    errors=(StreamConflictError, UnprocessableError),
)
DELETE_WEBHOOK = Operation(
    id="delete_webhook",
    method="DELETE",
    path="/api/webhooks/{id}",
    summary="Delete a webhook",
    description="Its address answers 404 within ten seconds.",
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
    description="Both secrets verify during the grace. The new one is shown in this answer and never again.",
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body=RotateWebhookSecret,
    answers={200: Answer("The new secret", RotatedSecretView)},
    errors=(StreamConflictError, UnprocessableError),
)
LIST_DELIVERIES = Operation(
    id="list_deliveries",
    method="GET",
    path="/api/webhooks/{id}/deliveries",
    summary="List deliveries",
    description="The ledger, newest first.",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    query=ListDeliveries,
    answers={200: Answer("A page of the ledger", DeliveryPage)},
)
GET_DELIVERY = Operation(
    id="get_delivery",
    method="GET",
    path="/api/webhooks/{id}/deliveries/{delivery_id}",
    summary="Get a delivery",
    tag=TAG,
    role="viewer",
    scope="webhooks:read",
    answers={200: Answer("The delivery", WholeDeliveryView)},
)
REDELIVER = Operation(
    id="redeliver",
    method="POST",
    path="/api/webhooks/{id}/deliveries/{delivery_id}/redeliver",
    summary="Run a delivery again",
    description="Starts a new run with the same body, headers and query, whatever became of the delivery.",
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    headers=(IDEMPOTENCY_KEY,),
    answers={202: Answer("The new run", RedeliveryView, {"Location": "Where the run is."})},
    errors=(UnprocessableError, NotPublishedError),
)
REDELIVER_MANY = Operation(
    id="redeliver_many",
    method="POST",
    path="/api/webhooks/{id}/deliveries/redeliver",
    summary="Run many deliveries again",
    description=(
        "Newest first, up to `limit` in a call; go on with `next_cursor` until it is null. Send an Idempotency-Key, "
        "so that a call which failed can be repeated."
    ),
    tag=TAG,
    role="editor",
    scope="webhooks:write",
    body=RedeliverMany,
    headers=(IDEMPOTENCY_KEY,),
    answers={202: Answer("The new runs", RedeliveriesView)},
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
    answers={200: Answer("The catalog", ProviderList)},
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
