"""/api/executions: list, get, events, cancel, signal; what else can be done with a run is in `verbs`."""

from __future__ import annotations

from functions.executions import verbs
from shared.commands.cancel_execution import CancelExecution, cancel_execution
from shared.commands.send_signal import SendSignal, send_signal
from shared.commands.services import services
from shared.http.api import Api
from shared.http.cursor import decode_keyset, decode_position
from shared.http.idempotency_key import idempotency_key
from shared.http.operations import executions as operations
from shared.http.operations.execution_verbs import FORK_EXECUTION, REDRIVE_EXECUTION, REPLAY_EXECUTION, VERIFY_EXECUTION
from shared.http.operations.executions import GetExecution, ListExecutionEvents, ListExecutions
from shared.http.paging import paged
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.queries.get_execution import get_execution
from shared.queries.list_execution_events import list_execution_events
from shared.queries.list_executions import list_executions
from shared.queue.job import ExecutionJob

api = Api("executions")
handler = api.handler
api.route(VERIFY_EXECUTION)(verbs.verify)
api.route(REDRIVE_EXECUTION)(verbs.redrive)
api.route(FORK_EXECUTION)(verbs.fork)
api.route(REPLAY_EXECUTION)(verbs.replay)


async def peek(execution_id: str) -> ExecutionJob | None:
    """The run's job in the queue, whose client is imported only when a run has no events yet."""
    return await services().inbox.peek(execution_id)


@api.route(operations.LIST_EXECUTIONS)
async def list_all(request: Request) -> Response:
    query = request.query(ListExecutions)
    where = (query.workflow_id, query.status, query.since, query.until, query.parent_id)
    page = (request.tenant_id, query.limit, decode_keyset(query.cursor))
    return paged(await list_executions(services().executions, *page, *where))


@api.route(operations.GET_EXECUTION)
async def get(request: Request) -> Response:
    found, at = services(), request.query(GetExecution).at
    return ok(await get_execution(found.events, found.workflows, peek, request.tenant_id, request.id, at))


@api.route(operations.LIST_EXECUTION_EVENTS)
async def events(request: Request) -> Response:
    found, query = services(), request.query(ListExecutionEvents)
    after = decode_position(query.cursor) or query.after
    return paged(
        await list_execution_events(
            found.events, found.executions, peek, request.tenant_id, request.id, after, query.limit, query.wait
        )
    )


@api.route(operations.CANCEL_EXECUTION)
async def cancel(request: Request) -> Response:
    state = await cancel_execution(services(), request.actor, request.id, request.body(CancelExecution))
    return ok({"id": state.id, "status": state.status})


@api.route(operations.SEND_SIGNAL)
async def signal(request: Request) -> Response:
    command, key = request.body(SendSignal), idempotency_key(request.headers)
    state = await send_signal(services(), request.actor, request.id, request.path["name"], command, key)
    return ok({"id": state.id, "status": state.status})
