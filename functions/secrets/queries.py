"""List secrets: names and dates alone."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.cursor import decode_keyset
from shared.http.paging import paged
from shared.http.parameters.common import PageQuery
from shared.http.request import Request
from shared.http.responses import Response
from shared.queries.secrets.list_secrets import list_secrets


async def list_all(request: Request) -> Response:
    query = request.query(PageQuery)
    before = decode_keyset(query.cursor)
    return paged(await list_secrets(services().secrets, request.tenant_id, query.limit, before))
