"""List API keys."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.cursor import decode_keyset
from shared.http.paging import paged
from shared.http.parameters.common import PageQuery
from shared.http.request import Request
from shared.http.responses import Response
from shared.queries.api_keys.list_api_keys import list_api_keys


async def list_all(request: Request) -> Response:
    query = request.query(PageQuery)
    before = decode_keyset(query.cursor)
    return paged(await list_api_keys(services().api_keys, request.tenant_id, query.limit, before))
