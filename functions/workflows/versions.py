"""/api/workflows/{id}/versions and /schedules: what is published of a workflow."""

from __future__ import annotations

from shared.commands.services import services
from shared.http.api import Api
from shared.http.cursor import decode_position
from shared.http.operations import workflows as operations
from shared.http.paging import paged
from shared.http.query import PageQuery
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.get_workflow_version import get_workflow_version
from shared.queries.list_schedules import list_schedules
from shared.queries.list_workflow_versions import list_workflow_versions


def add_to(api: Api) -> None:
    """Gives the function these routes."""

    @api.route(operations.LIST_WORKFLOW_VERSIONS)
    async def versions(request: Request) -> Response:
        query = request.query(PageQuery)
        where = (request.tenant_id, request.id, query.limit, decode_position(query.cursor))
        return paged(await list_workflow_versions(services().workflows, *where))

    @api.route(operations.GET_WORKFLOW_VERSION)
    async def version(request: Request) -> Response:
        which = (request.tenant_id, request.id, request.path["version"])
        return ok(await get_workflow_version(services().workflows, *which))

    @api.route(operations.LIST_SCHEDULES)
    async def schedules(request: Request) -> Response:
        found = await list_schedules(services().workflows, services().schedules, request.tenant_id, request.id)
        return ok({"items": found, "next_cursor": None})
