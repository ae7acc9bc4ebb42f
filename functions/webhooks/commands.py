"""Create (the secret is shown once), update, delete; rotate the secret."""

from __future__ import annotations

from shared.bootstrap import services
from shared.commands.webhooks.create_webhook import CreateWebhook, create_webhook
from shared.commands.webhooks.delete_webhook import delete_webhook
from shared.commands.webhooks.rotate_webhook_secret import RotateWebhookSecret, rotate_webhook_secret
from shared.commands.webhooks.update_webhook import UpdateWebhook, update_webhook
from shared.http.base_url import base_url
from shared.http.request import Request
from shared.http.responses import Response, created, no_content, ok
from shared.queries.webhooks.get_webhook import get_webhook, view
from shared.webhooks.providers.rules import provider_rules


async def create(request: Request) -> Response:
    command = request.body(CreateWebhook)
    rules = provider_rules(command.provider, command.config)
    row = await create_webhook(services(), request.actor, command, rules)
    body = {**view(row, base_url(request.event)), "secret": row["secret"]}
    return created(body, f"/api/webhooks/{row['id']}")


async def update(request: Request) -> Response:
    command = request.body(UpdateWebhook)
    rules = provider_rules(command.provider, command.config)
    row = await update_webhook(services(), request.actor, request.id, command, rules)
    return ok(view(row, base_url(request.event)))


async def delete(request: Request) -> Response:
    await delete_webhook(services(), request.actor, request.id)
    return no_content()


async def rotate_secret(request: Request) -> Response:
    command = request.body(RotateWebhookSecret)
    webhook = await get_webhook(services().webhooks, request.tenant_id, request.id)
    rules = provider_rules(webhook["provider"], webhook["config"])
    return ok(await rotate_webhook_secret(services(), request.actor, request.id, command, rules))
