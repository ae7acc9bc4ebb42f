"""What Redis remembers of a webhook's row."""

import pytest

from shared.domain.webhook.intake_config import intake_config
from shared.json_types import JsonObject

ROW: JsonObject = {
    "id": "w",
    "tenant_id": "t",
    "name": "pushes",
    "workflow_id": "f",
    "node_id": None,
    "provider": "github",
    "config": {},
    "status": "active",
    "secret": "v1:new",
    "previous_secret": None,
    "previous_secret_expires_at": None,
    "last_triggered_at": "2026-11-01T00:00:00.000000Z",
    "published_version": 3,
}


def test_previous_secret_comes_with_its_end() -> None:
    """During a rotation both secrets are there, the newest first, the old one with its end."""
    end = "2026-11-02T00:00:00.000000Z"
    found = intake_config({**ROW, "previous_secret": "v1:old", "previous_secret_expires_at": end})
    assert found["secrets"] == [
        {"secret": "v1:new", "expires_at": None},
        {"secret": "v1:old", "expires_at": end},
    ]


@pytest.mark.parametrize(("version", "published"), [(3, True), (None, False)])
def test_published_says_whether_a_run_could_start(version: int | None, published: bool) -> None:
    """Intake need not know which version is published, only that one is."""
    assert intake_config({**ROW, "published_version": version})["published"] is published


def test_nothing_else_of_the_row_is_remembered() -> None:
    """Only what intake needs leaves the database."""
    assert intake_config(ROW).keys() == ROW.keys() - {
        "secret",
        "previous_secret",
        "previous_secret_expires_at",
        "last_triggered_at",
        "published_version",
    } | {"secrets", "published"}
