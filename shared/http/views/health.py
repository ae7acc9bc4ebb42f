"""The shapes of answers under /health."""

from __future__ import annotations

from typing import Literal

from shared.http.views.common import Id, View


class ChecksView(View):
    """What was reached just now."""

    supabase: Literal["ok"]
    redis: Literal["ok"]


class HealthView(View):
    """The service can do its work."""

    status: Literal["ok"]
    checks: ChecksView
    version: str


class BrokenInvariantView(View):
    """A promise, and how many runs or schedules broke it."""

    invariant: str
    count: int


class InvariantsView(View):
    """Whether every promise holds just now."""

    ok: bool
    violations: list[BrokenInvariantView]


class ViolationView(View):
    """A run, or a workflow's schedule, that broke a promise."""

    invariant: str
    execution_id: Id | None = None
    workflow_id: Id | None = None
    detail: str


class TenantInvariantsView(View):
    """Whether every promise to this tenant holds just now."""

    ok: bool
    violations: list[ViolationView]
