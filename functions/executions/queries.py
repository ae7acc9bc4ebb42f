"""List runs, get one, its events."""

from __future__ import annotations

from shared.bootstrap import services
from shared.http.cursor import decode_keyset, decode_position
from shared.http.paging import paged
from shared.http.parameters.executions import GetExecution, ListExecutionEvents, ListExecutions
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.executions.get_execution import get_execution
from shared.queries.executions.list_execution_events import list_execution_events
from shared.queries.executions.list_executions import list_executions
from shared.queue.job import ExecutionJob


async def peek(execution_id: str) -> ExecutionJob | None:
    """The run's job in the queue. Its client is imported only for runs without events."""
    return await services().producer.peek(execution_id)


async def list_all(request: Request) -> Response:
    query = request.query(ListExecutions)
    where = (query.workflow_id, query.status, query.since, query.until, query.parent_id)
    page = (request.tenant_id, query.limit, decode_keyset(query.cursor))
    return paged(await list_executions(services().executions, *page, *where))


async def get(request: Request) -> Response:
    wired, at = services(), request.query(GetExecution).at
    return ok(await get_execution(wired.events, wired.workflows, peek, request.tenant_id, request.id, at))


async def events(request: Request) -> Response:
    wired, query = services(), request.query(ListExecutionEvents)
    after = decode_position(query.cursor) or query.after
    return paged(
        await list_execution_events(
            wired.events,
            wired.executions,
            peek,
            request.tenant_id,
            request.id,
            after,
            query.limit,
            query.wait,
            wired.waiting_clients if query.wait else None,
        )
    )
