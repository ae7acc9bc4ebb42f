"""List workflows, get one."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.cursor import decode_keyset
from shared.http.etag import etag
from shared.http.paging import paged
from shared.http.parameters.workflows import ListWorkflows
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.workflows.get_workflow import get_workflow, view
from shared.queries.workflows.list_workflows import list_workflows


async def list_all(request: Request) -> Response:
    query = request.query(ListWorkflows)
    where = (request.tenant_id, query.limit, decode_keyset(query.cursor), query.status, query.tag, query.q)
    return paged(await list_workflows(services().workflows, *where))


async def get(request: Request) -> Response:
    row = await get_workflow(services().workflows, request.tenant_id, request.id)
    return ok(view(row), etag(row["stream_version"]))
