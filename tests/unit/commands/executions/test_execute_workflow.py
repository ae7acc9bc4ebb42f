"""When two requests to execute are the same."""

from typing import Any

import pytest

from shared.commands.executions.execute_workflow import ExecuteWorkflow
from shared.commands.executions.new_run import NewRun
from shared.domain.actor import Actor
from shared.json_types import JsonObject


def fingerprint(workflow_id: str = "a", **fields: Any) -> str:
    """The fingerprint of a request with these fields to a workflow."""
    asked = ExecuteWorkflow.model_validate(fields).asked
    return NewRun.asked(Actor("t", "test", "editor"), "execute", workflow_id, asked, None).fingerprint


def test_order_and_defaults_do_not_matter() -> None:
    """The same value written in another order, or left to its default, is the same request."""
    assert fingerprint(input={"a": 1, "b": [2]}) == fingerprint(input={"b": [2], "a": 1}, version="published")


@pytest.mark.parametrize("fields", [{"input": 1}, {"input": "1"}, {"input": [1]}, {"version": "draft"}, {"version": 1}])
def test_every_difference_matters(fields: JsonObject) -> None:
    """Another input, another type of input or another version is another request; so is another workflow."""
    assert fingerprint(**fields) != fingerprint()
    assert fingerprint(**fields) != fingerprint("b", **fields)
