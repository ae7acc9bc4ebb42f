"""/api/workflows/{id}/execute: start a run and, with `Prefer: wait`, wait for its reply."""

from __future__ import annotations

from shared.bootstrap import services
from shared.commands.executions.execute_workflow import ExecuteWorkflow, execute_workflow
from shared.errors import StorageUnavailableError
from shared.http.api import Api
from shared.http.base_url import base_url
from shared.http.idempotency_key import idempotency_key
from shared.http.operations import executions as operations
from shared.http.prefer import wait_seconds
from shared.http.request import Request
from shared.http.responses import Response, accepted, ok
from shared.platform.deadline import seconds_left

# The part of the request's time that is reserved for reading the run after the wait.
READ_SECONDS = 1.5


async def execute(request: Request) -> Response:
    seconds = wait_seconds(request.headers)
    command, key = request.body(ExecuteWorkflow), idempotency_key(request.headers)
    started = await execute_workflow(services(), request.actor, request.id, command, key, client_is_waiting=seconds > 0)
    if seconds and (answer := await _answer(request, started, seconds)) is not None:
        return answer
    location = f"/api/executions/{started}"
    # Always the status at acceptance, so that a repetition with the same Idempotency-Key gets the same response.
    return accepted({"execution_id": started, "status": "queued", "url": base_url(request.event) + location}, location)


async def _answer(request: Request, execution_id: str, seconds: float) -> Response | None:
    """The run with its reply; `None` if there is none in time, as many of the tenant's requests wait as may, or the
    store is unreachable: the run stays accepted."""
    from shared.queries.executions.await_answer import await_answer
    from shared.queries.executions.get_execution import get_execution

    wired, run = services(), (request.tenant_id, execution_id)
    seconds = seconds_left(seconds + READ_SECONDS) - READ_SECONDS
    async with wired.waiting_clients.waiting(request.tenant_id, seconds) as may_wait:
        parts = (wired.replies, wired.events, wired.executions)
        if not may_wait or not await await_answer(*parts, *run, seconds):
            return None
    try:
        return ok(await get_execution(wired.events, wired.workflows, wired.producer.peek, *run))
    except StorageUnavailableError:
        return None


api = Api("execute", (operations.EXECUTE_WORKFLOW, execute))
handler = api.handler
