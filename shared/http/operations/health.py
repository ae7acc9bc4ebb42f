"""/health"""

from __future__ import annotations

from shared.errors import UnavailableError
from shared.http.operation import Answer, Operation

TAG = "Service"
GET_HEALTH = Operation(
    id="get_health",
    method="GET",
    path="/health",
    summary="Health",
    tag=TAG,
    role=None,
    answers={200: Answer("Everything is within reach", "health:HealthView")},
    errors=(UnavailableError,),
)
GET_INVARIANTS = Operation(
    id="get_invariants",
    method="GET",
    path="/health/invariants",
    summary="Runs that broke a promise",
    description="There are none. Runs and schedules that nobody picked up in time are counted here, of at most 100.",
    tag=TAG,
    role=None,
    answers={200: Answer("How many violations there are of what", "health:InvariantsView")},
)
GET_TENANT_INVARIANTS = Operation(
    id="get_tenant_invariants",
    method="GET",
    path="/api/invariants",
    summary="Runs of yours that broke a promise",
    description="There are none. Runs and schedules of the tenant that nobody picked up in time are named here.",
    tag=TAG,
    role="admin",
    scope="executions:read",
    answers={200: Answer("The violations, at most 100", "health:TenantInvariantsView")},
)
OPERATIONS = (GET_HEALTH, GET_INVARIANTS, GET_TENANT_INVARIANTS)
