"""/api/api-keys: create (the key is shown once), list, revoke."""

from __future__ import annotations

from dataclasses import asdict

from shared.commands.create_api_key import CreateApiKey, create_api_key
from shared.commands.revoke_api_key import revoke_api_key
from shared.commands.services import services
from shared.http.api import Api
from shared.http.cursor import decode_keyset
from shared.http.operations import api_keys as operations
from shared.http.paging import paged
from shared.http.query import PageQuery
from shared.http.request import Request
from shared.http.responses import Response, created, no_content
from shared.queries.list_api_keys import list_api_keys, view

api = Api("api_keys")
handler = api.handler


@api.route(operations.CREATE_API_KEY)
async def create(request: Request) -> Response:
    made = await create_api_key(services(), request.actor, request.body(CreateApiKey))
    body = {**view(asdict(made.api_key)), "key": made.key}
    return created(body, f"/api/api-keys/{made.api_key.id}")


@api.route(operations.LIST_API_KEYS)
async def list_all(request: Request) -> Response:
    query = request.query(PageQuery)
    before = decode_keyset(query.cursor)
    return paged(await list_api_keys(services().api_keys, request.tenant_id, query.limit, before))


@api.route(operations.REVOKE_API_KEY)
async def revoke(request: Request) -> Response:
    await revoke_api_key(services(), request.actor, request.id)
    return no_content()
