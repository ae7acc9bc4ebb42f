"""Webhooks and the delivery log of their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.repositories.database import Database
from shared.repositories.rows import Keyset, in_service_form, page

if TYPE_CHECKING:
    from postgrest import AsyncSelectRequestBuilder

    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.repositories.row_types import DeliveryRow, IntakeWebhookRow, WebhookRow

COLUMNS = (
    "id,tenant_id,name,workflow_id,node_id,provider,config,status,previous_secret_expires_at,last_triggered_at,"
    "stream_version,created_at,updated_at"
)
WITH_SECRETS = f"{COLUMNS},secret,previous_secret"
DELIVERY = (
    "id,webhook_id,received_at,verdict,reason,delivery_key,event_type,execution_id,method,headers,query,body_sha256,"
    "size_bytes,count,verified"
)
# How the delivery key of a redelivery begins, which distinguishes it from the provider's own deliveries.
REDELIVERY_PREFIX = "redelivery:"


class WebhookRepository:
    """Reads `webhooks` and `webhook_deliveries`. Deleted webhooks are not found."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    async def get(self, tenant_id: str, webhook_id: str) -> WebhookRow | None:
        """The webhook without its secrets; `None` for an unknown webhook, also another tenant's."""
        rows: Sequence[WebhookRow] = await self._database.select(
            "webhooks",
            COLUMNS,
            lambda query: query.eq("tenant_id", tenant_id).eq("id", webhook_id).neq("status", "deleted"),
        )
        return in_service_form(rows[0]) if rows else None

    async def list(
        self, tenant_id: str, limit: int, before: Keyset | None = None, workflow_id: str | None = None
    ) -> Sequence[WebhookRow]:
        """Webhooks without their secrets, newest first."""

        def configure(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id).neq("status", "deleted")
            if workflow_id is not None:
                query = query.eq("workflow_id", workflow_id)
            return page(query, limit, before)

        rows: Sequence[WebhookRow] = await self._database.select("webhooks", COLUMNS, configure)
        return [in_service_form(row) for row in rows]

    async def of_workflow(
        self, tenant_id: str, workflow_id: str, limit: int, after_id: str | None = None
    ) -> Sequence[IntakeWebhookRow]:
        """The workflow's webhooks with their encrypted secrets, ordered by id, after `after_id`: for intake's cache."""

        def configure(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id).eq("workflow_id", workflow_id).neq("status", "deleted")
            return (query if after_id is None else query.gt("id", after_id)).order("id").limit(limit)

        rows: Sequence[IntakeWebhookRow] = await self._database.select("webhooks", WITH_SECRETS, configure)
        return [in_service_form(row) for row in rows]

    async def for_intake(self, webhook_id: str) -> IntakeWebhookRow | None:
        """The webhook of any tenant, with its encrypted secrets and its workflow's `published_version`.

        Read without a tenant, as a delivery names only the webhook; the row says whose it is.
        """
        row: IntakeWebhookRow | None = await self._database.rpc("webhook_for_intake", {"id": webhook_id})
        return in_service_form(row) if row else None

    async def deliveries(
        self,
        tenant_id: str,
        webhook_id: str,
        limit: int,
        before: Keyset | None = None,
        verdict: str | None = None,
        *,
        since: str | None = None,
        until: str | None = None,
        event_type: str | None = None,
        redeliveries: bool = True,
    ) -> Sequence[DeliveryRow]:
        """The webhook's delivery log, newest first; `before.created_at` is the last seen `received_at`. `since`
        (inclusive) and `until` (exclusive) bound it. Without `redeliveries`, only what the provider sent."""

        def configure(query: AsyncSelectRequestBuilder) -> AsyncSelectRequestBuilder:
            query = query.eq("tenant_id", tenant_id).eq("webhook_id", webhook_id)
            for column, value in (("verdict", verdict), ("event_type", event_type)):
                if value is not None:
                    query = query.eq(column, value)
            if since is not None:
                query = query.gte("received_at", since)
            if until is not None:
                query = query.lt("received_at", until)
            if not redeliveries:
                # A refused delivery has no key, and in SQL `not like` does not hold for null.
                query = query.or_(f'delivery_key.is.null,delivery_key.not.like."{REDELIVERY_PREFIX}*"')
            return page(query, limit, before, column="received_at")

        rows: Sequence[DeliveryRow] = await self._database.select("webhook_deliveries", DELIVERY, configure)
        return [in_service_form(row) for row in rows]

    async def delivery(self, tenant_id: str, webhook_id: str, delivery_id: str) -> DeliveryRow | None:
        """One delivery of the webhook; `None` for an unknown one."""
        rows: Sequence[DeliveryRow] = await self._database.select(
            "webhook_deliveries",
            DELIVERY,
            lambda query: query.eq("tenant_id", tenant_id).eq("webhook_id", webhook_id).eq("id", delivery_id),
        )
        return in_service_form(rows[0]) if rows else None

    async def delivery_body(self, tenant_id: str, sha256: str) -> str | None:
        """The bytes of a delivery that started no run, in base64; `None` where they were not kept."""
        rows = await self._database.select(
            "delivery_bodies", "body", lambda query: query.eq("tenant_id", tenant_id).eq("sha256", sha256)
        )
        return rows[0]["body"] if rows else None

    async def record(self, deliveries: Sequence[DeliveryLogEntry]) -> None:
        """Writes log entries of deliveries that started no run, each once by its id, with their bodies if set."""
        await self._database.rpc("record_deliveries", {"deliveries": list(deliveries)})
