"""The OpenAPI document against the running stack: no 500, and no answer that the document does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# What is not among them: that a body which fits the schema is accepted. A draft's node ids must be unique, its edges
# must lead somewhere: JSON Schema cannot say so.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DRAFT = {
    "name": "Flow",
    "nodes": [{"id": "hook", "type": "webhook_trigger"}, {"id": "hand", "type": "manual_trigger"}],
    "edges": [],
}


def generated(max_examples: int) -> settings:
    """The same cases in every run, found quickly."""
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def things(stack: Any) -> dict[str, dict[str, str]]:
    """One of each thing, new for each operation: path prefix → its ids."""
    with httpx.Client(base_url=stack.api_url, headers={"Authorization": f"Bearer {stack.api_key}"}) as http:
        workflow = http.post("/api/workflows", json=DRAFT).json()["id"]
        assert http.post(f"/api/workflows/{workflow}/publish").status_code == 200
        hook = {"name": "hook", "workflow_id": workflow, "provider": "github", "secret": "It's a secret to everybody"}
        webhook = http.post("/api/webhooks", json=hook).json()["id"]
        execution = http.post(f"/api/workflows/{workflow}/execute", json={"input": 1}).json()["execution_id"]
        api_key = http.post("/api/api-keys", json={"name": "key"}).json()["id"]
    return {
        "/api/workflows": {"id": workflow, "version": "1"},
        "/api/webhooks": {"id": webhook},
        "/api/executions": {"id": execution},
        "/api/api-keys": {"id": api_key},
        "/webhooks": {"webhookId": webhook, "provider": "github"},
    }


def assert_documented(case: Any, stack: Any) -> None:
    """The answer is one of those documented, and none of the server's own failures: everything is up."""
    response = case.call(base_url=stack.api_url, headers={"Authorization": f"Bearer {stack.api_key}"})
    case.validate_response(response, checks=CHECKS)
    assert response.status_code < 500, response.text


@SCHEMA.parametrize()
@generated(25)
def test_every_answer_is_documented(case: Any, stack: Any) -> None:
    """Whatever is sent, right or wrong, the answer's status, type, headers and body are as documented."""
    assert_documented(case, stack)


@SCHEMA.include(path_regex=r"\{(id|webhookId)\}").parametrize()
@generated(15)
def test_every_answer_about_things_that_exist_is_documented(
    case: Any, stack: Any, things: dict[str, dict[str, str]]
) -> None:
    """The same for paths that lead to something."""
    prefix = next(prefix for prefix in things if case.operation.path.startswith(f"{prefix}/"))
    case.path_parameters.update(things[prefix])
    assert_documented(case, stack)


@SCHEMA.parametrize()
@generated(2)
def test_refusals_are_documented(case: Any, stack: Any) -> None:
    """With credentials that nobody gave out, the gateway's own answer is as documented."""
    response = case.call(base_url=stack.api_url, headers={"Authorization": "Bearer nobody"})
    case.validate_response(response, checks=CHECKS)
    assert response.status_code in (401, 403, 404) or not case.operation.definition.raw["security"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        if operation["security"]
    ],
)
def test_without_credentials_it_is_a_401(stack: Any, method: str, path: str) -> None:
    """Every operation that needs credentials says so before anything else."""
    response = httpx.request(method, f"{stack.api_url}{path}")
    assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})
