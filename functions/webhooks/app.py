"""/api/webhooks: create (the secret is shown once), list, get, update, delete, deliveries; /api/webhook-providers."""

from __future__ import annotations

from functions.webhooks.deliveries import add_to
from shared.commands.create_webhook import CreateWebhook, create_webhook
from shared.commands.delete_webhook import delete_webhook
from shared.commands.rotate_webhook_secret import RotateWebhookSecret, rotate_webhook_secret
from shared.commands.services import services
from shared.commands.update_webhook import UpdateWebhook, update_webhook
from shared.http.api import Api
from shared.http.base_url import base_url
from shared.http.cursor import decode_keyset
from shared.http.operations import webhooks as operations
from shared.http.operations.webhooks import ListWebhooks
from shared.http.paging import paged
from shared.http.request import Request
from shared.http.responses import Response, created, no_content, ok
from shared.queries.get_webhook import get_webhook, view
from shared.queries.list_webhooks import list_webhooks
from shared.queries.page import Page
from shared.webhooks.catalog import catalog, provider_rules

api = Api("webhooks")
add_to(api)
handler = api.handler


@api.route(operations.CREATE_WEBHOOK)
async def create(request: Request) -> Response:
    command = request.body(CreateWebhook)
    rules = provider_rules(command.provider, command.config)
    row = await create_webhook(services(), request.actor, command, rules)
    body = {**view(row, base_url(request.event)), "secret": row["secret"]}
    return created(body, f"/api/webhooks/{row['id']}")


@api.route(operations.LIST_WEBHOOKS)
async def list_all(request: Request) -> Response:
    query, base = request.query(ListWebhooks), base_url(request.event)
    before = decode_keyset(query.cursor)
    page = await list_webhooks(services().webhooks, request.tenant_id, query.limit, before, query.workflow_id)
    return paged(Page([view(row, base) for row in page.items], page.next))


@api.route(operations.GET_WEBHOOK)
async def get(request: Request) -> Response:
    return ok(view(await get_webhook(services().webhooks, request.tenant_id, request.id), base_url(request.event)))


@api.route(operations.UPDATE_WEBHOOK)
async def update(request: Request) -> Response:
    command = request.body(UpdateWebhook)
    rules = provider_rules(command.provider, command.config)
    row = await update_webhook(services(), request.actor, request.id, command, rules)
    return ok(view(row, base_url(request.event)))


@api.route(operations.DELETE_WEBHOOK)
async def delete(request: Request) -> Response:
    await delete_webhook(services(), request.actor, request.id)
    return no_content()


@api.route(operations.ROTATE_WEBHOOK_SECRET)
async def rotate_secret(request: Request) -> Response:
    command = request.body(RotateWebhookSecret)
    webhook = await get_webhook(services().webhooks, request.tenant_id, request.id)
    rules = provider_rules(webhook["provider"], webhook["config"])
    return ok(await rotate_webhook_secret(services(), request.actor, request.id, command, rules))


@api.route(operations.LIST_WEBHOOK_PROVIDERS)
async def providers(_: Request) -> Response:
    return ok({"items": catalog(), "next_cursor": None})
