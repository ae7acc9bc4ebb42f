"""The sample events: each can be invoked, and answers one of the statuses that its operation documents."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from shared.http.openapi import document

FOLDER = Path(__file__).parents[3] / "events"
FUNCTIONS = ("workflows", "publish", "api_keys", "secrets", "health", "console")
SAMPLES = sorted(path for name in FUNCTIONS for path in (FOLDER / name).glob("*.json"))
DOCUMENTED = {
    operation["operationId"]: operation["responses"]
    for operations in document()["paths"].values()
    for operation in operations.values()
}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sample_is_answered_as_documented(api: object, sample: Path) -> None:
    """A sample is named after its operation, whose documentation knows the answer's status and content type."""
    handler = import_module(f"functions.{sample.parent.name}.app").handler
    answer = handler(json.loads(sample.read_text()), None)
    responses = DOCUMENTED[sample.stem]
    assert str(answer["statusCode"]) in responses
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    content = responses[str(answer["statusCode"])].get("content")
    assert (headers.get("content-type", "").partition(";")[0] in content) if content else not answer.get("body")


@pytest.mark.parametrize("sample", sorted((FOLDER / "authorizer").glob("*.json")), ids=lambda path: path.stem)
def test_authorizer_refuses_the_sample(api: object, sample: Path) -> None:
    """The samples' credentials are made up."""
    handler = import_module("functions.authorizer.app").handler
    assert handler(json.loads(sample.read_text()), None) == {"isAuthorized": False}
