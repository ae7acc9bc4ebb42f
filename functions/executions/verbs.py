"""What can be done with a run afterwards: verify, redrive, fork, replay."""

from __future__ import annotations

from shared.bootstrap import services
from shared.commands.executions.fork_execution import ForkExecution, fork_execution
from shared.commands.executions.redrive_execution import redrive_execution
from shared.commands.executions.replay_execution import ReplayExecution, replay_execution
from shared.http.base_url import base_url
from shared.http.idempotency_key import idempotency_key
from shared.http.request import Request
from shared.http.responses import Response, accepted, ok


async def verify(request: Request) -> Response:
    """Whether the run can be derived again."""
    from shared.engine.expressions.evaluator import expression_evaluator  # the engine, which other requests do not need
    from shared.engine.verify.verify_execution import verify_execution

    wired = services()
    verified = verify_execution(
        wired.events,
        wired.workflows,
        expression_evaluator(),
        wired.producer.peek,
        request.tenant_id,
        request.id,
    )
    return ok(await verified)


async def redrive(request: Request) -> Response:
    """The resumed run."""
    state = await redrive_execution(services(), request.actor, request.id)
    return _started(request, state.id, state.status)


async def fork(request: Request) -> Response:
    """A new run from one of its nodes."""
    command, key = request.body(ForkExecution), idempotency_key(request.headers)
    return _started(request, await fork_execution(services(), request.actor, request.id, command, key), "queued")


async def replay(request: Request) -> Response:
    """A new run of what started this one, or what it would be."""
    command, key = request.body(ReplayExecution), idempotency_key(request.headers)
    if command.mode == "dry_run":
        from shared.engine.expressions.evaluator import expression_evaluator
        from shared.engine.verify.dry_run import dry_run

        return ok(await dry_run(services(), expression_evaluator(), request.actor, request.id, command))
    return _started(request, await replay_execution(services(), request.actor, request.id, command, key), "queued")


def _started(request: Request, execution_id: str, status: str) -> Response:
    location = f"/api/executions/{execution_id}"
    url = base_url(request.event) + location
    return accepted({"execution_id": execution_id, "status": status, "url": url}, location)
