"""What is published of a workflow: versions and schedules."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.cursor import decode_position
from shared.http.paging import paged
from shared.http.parameters.common import PageQuery
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.workflows.get_workflow_version import get_workflow_version
from shared.queries.workflows.list_schedules import list_schedules
from shared.queries.workflows.list_workflow_versions import list_workflow_versions


async def versions(request: Request) -> Response:
    query = request.query(PageQuery)
    where = (request.tenant_id, request.id, query.limit, decode_position(query.cursor))
    return paged(await list_workflow_versions(services().workflows, *where))


async def version(request: Request) -> Response:
    which = (request.tenant_id, request.id, request.path["version"])
    return ok(await get_workflow_version(services().workflows, *which))


async def schedules(request: Request) -> Response:
    rows = await list_schedules(services().workflows, services().schedules, request.tenant_id, request.id)
    return ok({"items": rows, "next_cursor": None})
