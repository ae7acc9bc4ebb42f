"""The shapes of answers under /health."""

from __future__ import annotations

from typing import Literal

from shared.http.views.common import Id, View


class ChecksView(View):
    """The dependencies that were reached."""

    supabase: Literal["ok"]
    redis: Literal["ok"]


class HealthView(View):
    """The service is healthy."""

    status: Literal["ok"]
    checks: ChecksView
    version: str


class BrokenInvariantView(View):
    """An invariant, and how many runs or schedules violate it."""

    invariant: str
    count: int


class InvariantsView(View):
    """Whether all invariants hold."""

    ok: bool
    violations: list[BrokenInvariantView]


class ViolationView(View):
    """A run, or a workflow's schedule, that violates an invariant."""

    invariant: str
    execution_id: Id | None = None
    workflow_id: Id | None = None
    detail: str


class TenantInvariantsView(View):
    """Whether all invariants hold for this tenant's runs."""

    ok: bool
    violations: list[ViolationView]
