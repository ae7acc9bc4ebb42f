"""Cancel a run, send it a signal."""

from __future__ import annotations

from shared.bootstrap import services
from shared.commands.executions.cancel_execution import CancelExecution, cancel_execution
from shared.commands.executions.send_signal import SendSignal, send_signal
from shared.http.idempotency_key import idempotency_key
from shared.http.request import Request
from shared.http.responses import Response, ok


async def cancel(request: Request) -> Response:
    state = await cancel_execution(services(), request.actor, request.id, request.body(CancelExecution))
    return ok({"id": state.id, "status": state.status})


async def signal(request: Request) -> Response:
    command, key = request.body(SendSignal), idempotency_key(request.headers)
    state = await send_signal(services(), request.actor, request.id, request.path["name"], command, key)
    return ok({"id": state.id, "status": state.status})
