"""/health"""

from __future__ import annotations

from typing import Literal

from shared.errors import UnavailableError
from shared.http.operation import Answer, Operation
from shared.http.operations.views import Id, View

TAG = "Service"


class ChecksView(View):
    """What was reached just now."""

    supabase: Literal["ok"]
    redis: Literal["ok"]


class HealthView(View):
    """The service can do its work."""

    status: Literal["ok"]
    checks: ChecksView
    version: str


class ViolationView(View):
    """A run, or a workflow's schedule, that broke a promise."""

    invariant: str
    execution_id: Id | None = None
    workflow_id: Id | None = None
    detail: str


class InvariantsView(View):
    """Whether every promise holds just now."""

    ok: bool
    violations: list[ViolationView]


GET_HEALTH = Operation(
    id="get_health",
    method="GET",
    path="/health",
    summary="Health",
    tag=TAG,
    role=None,
    answers={200: Answer("Everything is within reach", HealthView)},
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
    answers={200: Answer("The violations, at most 100", InvariantsView)},
)
OPERATIONS = (GET_HEALTH, GET_INVARIANTS)
