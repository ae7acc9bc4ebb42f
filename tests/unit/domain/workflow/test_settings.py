"""What settings say, and what is refused."""

from __future__ import annotations

import pytest

from shared.domain.workflow.settings import WorkflowSettings, parse_settings
from shared.json_types import JsonObject

WORKFLOW_ID = "01933f0e-0000-7000-8000-000000000001"


def test_settings_are_read() -> None:
    """Names that are none of ours are passed over."""
    found, problems = parse_settings({"timeout_seconds": 60, "error_workflow_id": WORKFLOW_ID, "team": "blue"})
    assert (found, problems) == (WorkflowSettings(60, WORKFLOW_ID), [])


def test_deadline_counts_from_the_start() -> None:
    """In the service's form of time; without a timeout there is none."""
    assert WorkflowSettings(90).deadline(1_700_000_000) == "2023-11-14T22:14:50.000000Z"
    assert WorkflowSettings().deadline(1_700_000_000) is None


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"timeout_seconds": 0}, "/settings/timeout_seconds"),
        ({"timeout_seconds": True}, "/settings/timeout_seconds"),
        ({"timeout_seconds": "60"}, "/settings/timeout_seconds"),
        ({"timeout_seconds": 31_622_401}, "/settings/timeout_seconds"),
        ({"error_workflow_id": "orders"}, "/settings/error_workflow_id"),
        ({"error_workflow_id": 7}, "/settings/error_workflow_id"),
        ({"timeout_second": 60}, "/settings/timeout_second"),
    ],
)
def test_wrong_setting_is_pointed_to(settings: JsonObject, pointer: str) -> None:
    """Also one whose name is nearly that of another."""
    found, problems = parse_settings(settings)
    assert (found, [problem.pointer for problem in problems]) == (WorkflowSettings(), [pointer])
