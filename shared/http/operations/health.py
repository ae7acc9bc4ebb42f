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
    description="There are none. A run or a schedule that nobody picked up in time is named here.",
    tag=TAG,
    role=None,
    answers={200: Answer("The violations, at most 100", "health:InvariantsView")},
)
OPERATIONS = (GET_HEALTH, GET_INVARIANTS)
