"""What can be done with a run over the API: verify, redrive, fork, replay."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bootstrap import Services
from shared.events.execution import ExecutionFailed, ExecutionStarted
from shared.events.node import NodeFailed, NodeSkipped, NodeSucceeded
from shared.ids import new_id
from shared.json_types import JsonObject
from tests.integration.http.client import Client
from tests.integration.http.runs import happen

ERROR = {"code": "expression", "message": "/value: no"}


@pytest.fixture
def failed(client: Client, workflow: JsonObject, wired: Services) -> str:
    """The id of a run that failed in its only node."""
    path = f"/api/workflows/{workflow['id']}/execute"
    execution_id: str = client.request("POST", path, {"input": {"n": "x"}}).json["execution_id"]
    happen(
        wired,
        client.tenant_id,
        execution_id,
        ExecutionStarted(1, "hand"),
        NodeSkipped("hook"),
        NodeFailed("double", 1, ERROR, "fail", 1_767_225_600_000),
        ExecutionFailed({**ERROR, "node_id": "double"}),
    )
    return execution_id


def test_redriven_run_goes_on(client: Client, failed: str) -> None:
    """The answer says where the run is; its error is gone; a second redrive has nothing to do."""
    answer = client.request("POST", f"/api/executions/{failed}/redrive")
    assert (answer.status, answer.json["execution_id"], answer.json["status"]) == (202, failed, "running")
    assert answer.json["url"].endswith(f"/api/executions/{failed}")
    shown = client.request("GET", f"/api/executions/{failed}").json
    assert (shown["status"], shown.get("error"), shown["nodes"]["double"]["status"]) == ("running", None, "pending")
    again = client.request("POST", f"/api/executions/{failed}/redrive")
    assert (again.status, again.json["code"]) == (409, "execution_not_finished")


def test_verification_names_the_first_difference(client: Client, failed: str, wired: Services) -> None:
    """A fact that does not follow from those before it is shown beside the one that would."""
    sound = client.request("GET", f"/api/executions/{failed}/verify")
    assert (sound.status, sound.json["first_difference"]) == (200, None)
    happen(wired, client.tenant_id, failed, NodeSucceeded("double", 1, 2, ["out"], 1_767_225_600_000, []))
    found = client.request("GET", f"/api/executions/{failed}/verify").json
    assert (found["valid"], found["first_difference"]["stream_version"]) == (False, 6)
    assert (found["first_difference"]["node_id"], found["first_difference"]["reason"]) == (
        "double",
        "The run had failed.",
    )


def test_fork_is_a_new_run(client: Client, failed: str) -> None:
    """The same key gives the same run; what cannot be done is named by its pointer."""
    asked = {"from_node": "double", "output": {"n": 4}}
    answers = [
        client.request("POST", f"/api/executions/{failed}/fork", asked, headers={"idempotency-key": "k"})
        for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [202, 202]
    forked = answers[0].json["execution_id"]
    assert answers[1].json["execution_id"] == forked != failed
    shown = client.request("GET", f"/api/executions/{forked}").json
    assert (shown["forked_from"], shown["nodes"]["double"]["output"]) == (failed, {"n": 4})
    refused = client.request("POST", f"/api/executions/{failed}/fork", {"from_node": "duoble"})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/from_node")
    assert refused.json["errors"][0]["hint"] == "Did you mean 'double'?"


def test_replay_is_a_new_run_or_a_comparison(client: Client, failed: str) -> None:
    """`live` starts a run, `dry_run` tells what it would be; without a mode, nothing is guessed."""
    path, asked = f"/api/executions/{failed}/replay", {"mode": "live", "input": {"n": 3}}
    live = client.request("POST", path, asked)
    shown = client.request("GET", f"/api/executions/{live.json['execution_id']}").json
    assert (live.status, shown["replayed_from"], shown["trigger"]["body"]) == (202, failed, {"n": 3})
    dry = client.request("POST", path, {**asked, "mode": "dry_run"})
    assert (dry.status, dry.json["replayed"]["output"], dry.json["original"]["status"]) == (200, 6, "failed")
    assert dry.json["nodes"]["double"]["original"]["error"]["code"] == "expression"
    assert client.request("POST", path, {}).status == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "redrive", None),
        ("POST", "fork", {"from_node": "a"}),
        ("POST", "replay", {"mode": "live"}),
        ("POST", "replay", {"mode": "dry_run"}),
        ("GET", "verify", None),
    ],
)
def test_another_tenants_run_is_not_found(client: Client, failed: str, method: str, path: str, body: Any) -> None:
    """Another tenant's run is as unknown as one that does not exist."""
    assert Client().request(method, f"/api/executions/{failed}/{path}", body).status == 404
    assert client.request(method, f"/api/executions/{new_id()}/{path}", body).status == 404


@pytest.mark.parametrize("path", ["redrive", "fork", "replay"])
def test_viewer_may_only_look(failed: str, client: Client, path: str) -> None:
    """Verifying is reading; the other verbs need an editor."""
    viewer = Client(tenant_id=client.tenant_id, role="viewer")
    assert viewer.request("GET", f"/api/executions/{failed}/verify").status == 200
    assert viewer.request("POST", f"/api/executions/{failed}/{path}", {"from_node": "double"}).status == 403
