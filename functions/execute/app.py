"""/api/workflows/{id}/execute: start a run, and wait for its answer where the caller prefers to."""

from __future__ import annotations

from shared.commands.execute_workflow import ExecuteWorkflow, execute_workflow
from shared.commands.services import services
from shared.http.api import Api
from shared.http.base_url import base_url
from shared.http.idempotency_key import idempotency_key
from shared.http.operations import executions as operations
from shared.http.prefer import wait_seconds
from shared.http.request import Request
from shared.http.responses import Response, accepted, ok


async def execute(request: Request) -> Response:
    found, tenant_id, seconds = services(), request.tenant_id, wait_seconds(request.headers)
    command, key = request.body(ExecuteWorkflow), idempotency_key(request.headers)
    started = await execute_workflow(found, request.actor, request.id, command, key, awaited=seconds > 0)
    if seconds:
        from shared.queries.await_answer import await_answer
        from shared.queries.get_execution import get_execution

        if await await_answer(found.answers, found.events, found.executions, tenant_id, started, seconds):
            return ok(await get_execution(found.events, found.workflows, found.inbox.peek, tenant_id, started))
    location = f"/api/executions/{started}"
    # As it was accepted, so that a repetition with the same Idempotency-Key is answered the same.
    return accepted({"execution_id": started, "status": "queued", "url": base_url(request.event) + location}, location)


api = Api("execute", (operations.EXECUTE_WORKFLOW, execute))
handler = api.handler
