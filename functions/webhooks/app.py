"""/api/webhooks: create (the secret is shown once), list, get, update, delete, deliveries; /api/webhook-providers."""

from __future__ import annotations

from shared.http.api import Api
from shared.http.operations import webhooks as operations

api = Api(
    "webhooks",
    (operations.CREATE_WEBHOOK, "functions.webhooks.commands:create"),
    (operations.LIST_WEBHOOKS, "functions.webhooks.queries:list_all"),
    (operations.GET_WEBHOOK, "functions.webhooks.queries:get"),
    (operations.UPDATE_WEBHOOK, "functions.webhooks.commands:update"),
    (operations.DELETE_WEBHOOK, "functions.webhooks.commands:delete"),
    (operations.ROTATE_WEBHOOK_SECRET, "functions.webhooks.commands:rotate_secret"),
    (operations.LIST_WEBHOOK_PROVIDERS, "functions.webhooks.queries:providers"),
    (operations.LIST_DELIVERIES, "functions.webhooks.deliveries:deliveries"),
    (operations.GET_DELIVERY, "functions.webhooks.deliveries:delivery"),
    (operations.REDELIVER, "functions.webhooks.deliveries:run_again"),
    (operations.REDELIVER_MANY, "functions.webhooks.deliveries:run_many_again"),
)
handler = api.handler
