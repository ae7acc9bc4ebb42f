"""The shapes of answers under /api/webhooks and /api/webhook-providers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shared.domain.webhook.delivery_log import Verdict
from shared.http.views.common import Id, Object, ProblemItem, Time, View, may_be_missing


class WebhookView(View):
    """A webhook, without its secret."""

    id: Id
    name: str
    workflow_id: Id
    node_id: Annotated[str | None, Field(description="The trigger node; null: the workflow's only webhook trigger.")]
    provider: str
    config: Object
    status: Annotated[
        Literal["active", "paused", "holding", "awaiting_secret"],
        Field(
            description=(
                "holding: deliveries are kept, and run when it is active again. "
                "awaiting_secret: deliveries are refused until the webhook is given its secret."
            )
        ),
    ]
    url: Annotated[str, Field(description="The URL to enter at the provider.")]
    last_triggered_at: Time | None
    created_at: Time
    updated_at: Time
    config_problems: list[ProblemItem] = may_be_missing(
        "Options of an older configuration that are no longer valid, with pointers into it; deliveries that need them "
        "are refused. Only in the response for a single webhook."
    )


class CreatedWebhookView(WebhookView):
    """A webhook with its secret, which is shown this once; null where it has none."""

    secret: str | None


class WebhookPage(View):
    """A page of webhooks."""

    items: list[WebhookView]
    next_cursor: str | None


class DeliveryView(View):
    """One delivery, with its verdict."""

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
    verified: bool = may_be_missing("Whether it passed the webhook's check; missing in older entries.")
    body_sha256: str | None
    size_bytes: int
    count: Annotated[int, Field(description="How many deliveries this entry stands for: a flood is only counted.")]


class WholeDeliveryView(DeliveryView):
    """One delivery with its body, where it was kept."""

    body: object = may_be_missing()
    body_omitted: bool = may_be_missing("The body is too large for this response.")
    raw_body: str = may_be_missing("The bytes in base64, of a delivery that started no run, or with keep_raw_body.")


class RotatedSecretView(View):
    """A webhook's new secret, which is shown this once."""

    id: Id
    secret: str
    previous_secret_expires_at: Annotated[Time | None, Field(description="Until when the old one verifies.")]


class RedeliveryView(View):
    """The new run of a delivery."""

    execution_id: Id
    delivery_id: Id


class RedeliveredView(RedeliveryView):
    """The new run of one of many deliveries."""

    redelivery_of: Id


class RedeliveriesView(View):
    """What this call redelivered."""

    redelivered: int
    skipped: Annotated[int, Field(description="How many could not be: their bodies were not kept.")]
    unverified: Annotated[int, Field(description="How many were left out: they did not verify.")]
    items: list[RedeliveredView]
    next_cursor: Annotated[str | None, Field(description="For the next call; null when there are no more.")]


class DeliveryPage(View):
    """A page of the delivery log."""

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
        Field(description="Who makes the secret: you (else it is generated), the provider, or its first handshake."),
    ]
    options: Annotated[Object, Field(description="What a webhook's config may set, each with its title.")]
    verified: Annotated[bool, Field(description="Whether this description could be checked.")]
    warning: str | None


class ProviderList(View):
    """The catalog."""

    items: list[ProviderView]
    next_cursor: None
