"""/health, /health/invariants and /api/invariants."""

from __future__ import annotations

from collections import Counter

from shared.bootstrap import services
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
    # An open operation: counts only, no tenants' ids.
    broken = Counter(violation["invariant"] for violation in await services().executions.invariant_violations())
    counts = [{"invariant": invariant, "count": count} for invariant, count in sorted(broken.items())]
    return ok({"ok": not counts, "violations": counts})


async def tenant_invariants(request: Request) -> Response:
    violations = await services().executions.invariant_violations(tenant_id=request.tenant_id)
    return ok({"ok": not violations, "violations": violations})


api = Api(
    "health",
    (operations.GET_HEALTH, health),
    (operations.GET_INVARIANTS, invariants),
    (operations.GET_TENANT_INVARIANTS, tenant_invariants),
)
handler = api.handler
