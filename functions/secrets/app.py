"""/api/secrets: set, list (names and dates alone), delete."""

from __future__ import annotations

from dataclasses import asdict

from shared.commands.delete_secret import delete_secret
from shared.commands.services import services
from shared.commands.set_secret import SetSecret, set_secret
from shared.http.api import Api
from shared.http.cursor import decode_keyset
from shared.http.operations import secrets as operations
from shared.http.paging import paged
from shared.http.query import PageQuery
from shared.http.request import Request
from shared.http.responses import Response, no_content, ok
from shared.queries.list_secrets import list_secrets, view

api = Api("secrets")
handler = api.handler


@api.route(operations.SET_SECRET)
async def set_one(request: Request) -> Response:
    secret = await set_secret(services(), request.actor, request.path["name"], request.body(SetSecret))
    return ok(view(asdict(secret)))


@api.route(operations.LIST_SECRETS)
async def list_all(request: Request) -> Response:
    query = request.query(PageQuery)
    before = decode_keyset(query.cursor)
    return paged(await list_secrets(services().secrets, request.tenant_id, query.limit, before))


@api.route(operations.DELETE_SECRET)
async def delete(request: Request) -> Response:
    await delete_secret(services(), request.actor, request.path["name"])
    return no_content()
