"""The OpenAPI document against the running stack, with ids of things that are there: what random ids never reach."""

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

from shared.json_types import JsonObject

SCHEMA = schemathesis.openapi.from_dict(
    json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
).include(path_regex=r"^/api/")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
WORKFLOW: JsonObject = {
    "name": "fuzzed",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "hand", "type": "manual_trigger"},
        {"id": "double", "type": "transform", "parameters": {"value": "{% $trigger.body.n * 2 %}"}},
    ],
    "edges": [{"source": "hook", "target": "double"}, {"source": "hand", "target": "double"}],
}


@pytest.fixture
def ids(http: httpx.Client) -> dict[str, str]:
    """One of everything, new for each operation: some of them end what they are given."""
    workflow = http.post("/api/workflows", json=WORKFLOW).json()["id"]
    http.post(f"/api/workflows/{workflow}/publish")
    webhook = http.post("/api/webhooks", json={"name": "w", "workflow_id": workflow, "provider": "github"})
    run = http.post(f"/api/workflows/{workflow}/execute", json={"input": {"n": 21}})
    api_key = http.post("/api/api-keys", json={"name": "fuzzed", "role": "viewer"})
    return {
        "workflows": workflow,
        "webhooks": webhook.json()["id"],
        "executions": run.json()["execution_id"],
        "api-keys": api_key.json()["id"],
    }


@SCHEMA.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_about_something_is_documented(case: Any, http: httpx.Client, ids: dict[str, str]) -> None:
    """Whatever is asked about a workflow, webhook, run or key that exists, the answer is as documented."""
    thing = ids.get(case.path.split("/")[2])
    if "id" in (case.path_parameters or {}) and thing:
        case.path_parameters["id"] = thing
    if isinstance(case.body, dict):
        # Else nearly every webhook would be refused for the workflow that it names.
        known = {"workflow_id": ids["workflows"], "provider": "github"}
        case.body |= {name: value for name, value in known.items() if isinstance(case.body.get(name), str)}
    if isinstance(case.query, dict):
        case.query.pop("wait", None)  # nothing happens for it to wait for
    response = case.call(base_url=str(http.base_url).rstrip("/"), headers=dict(http.headers))
    case.validate_response(response, checks=CHECKS)
    assert response.status_code < 500, response.text
