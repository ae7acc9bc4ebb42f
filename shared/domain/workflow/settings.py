"""A workflow's settings for its runs. They are saved with each version, so that a run is pinned to them."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.json.values import pointer_of
from shared.domain.name_suggestion import nearest_name
from shared.domain.timestamps import MAX_DURATION_SECONDS, timestamp
from shared.errors import Problem
from shared.ids import is_uuid
from shared.json_types import JsonMapping


@dataclass(frozen=True, slots=True)
class WorkflowSettings:
    """`timeout_seconds` is how long a run may take from its start, waits included; unset, without limit.
    `error_workflow_id` is the workflow that is run after a run has failed."""

    timeout_seconds: float | None = None
    error_workflow_id: str | None = None

    def deadline(self, started_at: float) -> str | None:
        """The deadline (a timestamp) of a run that starts at `started_at` (Unix seconds); `None` without a timeout."""
        return None if self.timeout_seconds is None else timestamp(started_at + self.timeout_seconds)


def parse_settings(settings: JsonMapping) -> tuple[WorkflowSettings, list[Problem]]:
    """The settings and their problems. Unknown names are the tenant's own, unless they look like a misspelling."""
    problems, known = [], WorkflowSettings.__slots__
    timeout_seconds, error_workflow_id = settings.get("timeout_seconds"), settings.get("error_workflow_id")
    if timeout_seconds is not None and not _is_duration(timeout_seconds):
        message = f"Must be a number above 0 and at most {MAX_DURATION_SECONDS}, which is 366 days."
        problems.append(Problem("/settings/timeout_seconds", message))
        timeout_seconds = None
    if error_workflow_id is not None and not (isinstance(error_workflow_id, str) and is_uuid(error_workflow_id)):
        problems.append(Problem("/settings/error_workflow_id", "Must be the id of a workflow, a UUID."))
        error_workflow_id = None
    for name in settings:
        # A misspelt `timeout_seconds` would silently be a run without a timeout.
        meant = nearest_name(name, known) if name not in known else None
        if meant is not None:
            suggestion = f"Did you mean {meant!r}?"
            problems.append(Problem(f"/settings{pointer_of(name)}", "There is no such setting.", suggestion))
    return WorkflowSettings(timeout_seconds, error_workflow_id), problems


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MAX_DURATION_SECONDS
