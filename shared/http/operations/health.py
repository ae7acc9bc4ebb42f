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
    description=(
        "Counts runs and schedules that were due and that nobody picked up for five minutes, and runs in which nothing "
        "happens although they are at work. Normally there are none. At most 100 are counted."
    ),
    tag=TAG,
    role=None,
    answers={200: Answer("How many violations there are of what", "health:InvariantsView")},
)
GET_TENANT_INVARIANTS = Operation(
    id="get_tenant_invariants",
    method="GET",
    path="/api/invariants",
    summary="Runs of yours that broke a promise",
    description=(
        "Names the tenant's runs and schedules that were due and that nobody picked up for five minutes, and runs in "
        "which nothing happens although they are at work. Normally there are none. At most 100 are named."
    ),
    tag=TAG,
    role="admin",
    scope="executions:read",
    answers={200: Answer("The violations, at most 100", "health:TenantInvariantsView")},
)
OPERATIONS = (GET_HEALTH, GET_INVARIANTS, GET_TENANT_INVARIANTS)
