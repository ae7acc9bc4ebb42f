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
    answers={200: Answer("All dependencies can be reached", "health:HealthView")},
    errors=(UnavailableError,),
)
GET_INVARIANTS = Operation(
    id="get_invariants",
    method="GET",
    path="/health/invariants",
    summary="Runs that violate an invariant",
    description=(
        "Counts runs and schedules that have been due for five minutes without being picked up, and stalled runs. "
        "Normally there are none. At most 100 are counted."
    ),
    tag=TAG,
    role=None,
    answers={200: Answer("How many violations there are of each invariant", "health:InvariantsView")},
)
GET_TENANT_INVARIANTS = Operation(
    id="get_tenant_invariants",
    method="GET",
    path="/api/invariants",
    summary="Your runs that violate an invariant",
    description=(
        "Lists the tenant's runs and schedules that have been due for five minutes without being picked up, and "
        "stalled runs. Normally there are none. At most 100 are listed."
    ),
    tag=TAG,
    role="admin",
    scope="executions:read",
    answers={200: Answer("The violations, at most 100", "health:TenantInvariantsView")},
)
OPERATIONS = (GET_HEALTH, GET_INVARIANTS, GET_TENANT_INVARIANTS)
