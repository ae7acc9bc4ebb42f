"""List webhooks, get one; the catalog of providers."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.base_url import base_url
from shared.http.cursor import decode_keyset
from shared.http.paging import paged
from shared.http.parameters.webhooks import ListWebhooks
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.page import Page
from shared.queries.webhooks.get_webhook import get_webhook, view
from shared.queries.webhooks.list_webhooks import list_webhooks
from shared.webhooks.providers.catalog_view import catalog
from shared.webhooks.providers.configuration import stored_problems


async def list_all(request: Request) -> Response:
    query, base = request.query(ListWebhooks), base_url(request.event)
    before = decode_keyset(query.cursor)
    page = await list_webhooks(services().webhooks, request.tenant_id, query.limit, before, query.workflow_id)
    return paged(Page([view(row, base) for row in page.items], page.next))


async def get(request: Request) -> Response:
    row = await get_webhook(services().webhooks, request.tenant_id, request.id)
    problems = stored_problems(row["provider"], row["config"])
    named = {"config_problems": [problem.as_json() for problem in problems]} if problems else {}
    return ok({**view(row, base_url(request.event)), **named})


async def providers(_: Request) -> Response:
    return ok({"items": catalog(), "next_cursor": None})
