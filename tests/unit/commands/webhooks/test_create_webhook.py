"""What a request to create a webhook may hold, and what it never shows."""

import pytest
from pydantic import ValidationError

from shared.commands.webhooks.create_webhook import CreateWebhook
from shared.json_types import JsonObject

BODY: JsonObject = {"name": "w", "workflow_id": "0199C000-0000-7000-8000-0000000000AA", "provider": "github"}


def test_secret_is_not_shown() -> None:
    """A command that lands in a log or a traceback does not give its secret away."""
    command = CreateWebhook.model_validate({**BODY, "secret": "hunter2"})
    assert "hunter2" not in repr(command)
    assert command.given_secret == "hunter2"


def test_workflow_id_is_taken_in_any_case() -> None:
    """A UUID in capitals is the same UUID."""
    assert CreateWebhook.model_validate(BODY).workflow_id == BODY["workflow_id"].lower()


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"secret": ""}, {"status": "deleted"}, {"config": []}, {"workflow_id": "x"}, {"tenant_id": "x"}],
)
def test_other_values_are_refused(fields: JsonObject) -> None:
    """Empty texts, other words, other types and unknown fields do not pass."""
    with pytest.raises(ValidationError):
        CreateWebhook.model_validate({**BODY, **fields})
