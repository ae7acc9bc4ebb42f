"""/api/events: the tenant's audit feed."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.api import Api
from shared.http.cursor import decode_position, encode_position
from shared.http.operations import audit as operations
from shared.http.parameters.audit import AuditFeed
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.audit_feed import audit_feed


async def feed(request: Request) -> Response:
    query = request.query(AuditFeed)
    after = decode_position(query.cursor) or query.after
    page = await audit_feed(services().events, request.tenant_id, after, query.limit, query.type, query.stream_id)
    cursor = encode_position(page.position if page.more else None)
    return ok({"items": page.items, "next_cursor": cursor, "position": page.position})


api = Api("audit", (operations.AUDIT_FEED, feed))
handler = api.handler
