"""/health and /health/invariants."""

from __future__ import annotations

from shared.commands.services import services
from shared.http.api import Api
from shared.http.operations import health as operations
from shared.http.request import Request
from shared.http.responses import Response, ok
from shared.http.version import VERSION
from shared.queries.check_health import check_health


async def health(_request: Request) -> Response:
    checks = await check_health(services().database, services().redis)
    return ok({"status": "ok", "checks": checks, "version": VERSION})


async def invariants(_request: Request) -> Response:
    violations = await services().executions.invariant_violations()
    return ok({"ok": not violations, "violations": violations})


api = Api("health", (operations.GET_HEALTH, health), (operations.GET_INVARIANTS, invariants))
handler = api.handler
