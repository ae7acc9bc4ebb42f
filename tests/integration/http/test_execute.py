"""/api/workflows/{id}/execute on the real database and queue."""

from __future__ import annotations

from typing import Any

import pytest

from local.stack.gateway_process import SupabaseGateway
from shared.bootstrap import Services
from shared.domain.json.check_budget import MAX_REQUEST_STEPS
from shared.domain.timestamps import unix_seconds
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import run
from shared.repositories.run_append import FIRST_DUE_SECONDS
from tests.integration.http.client import Answer, Client
from tests.integration.http.graphs import DOUBLING


def execute(client: Client, workflow: JsonObject, body: Any = None, **headers: str) -> Answer:
    """The answer to executing the workflow; `idempotency_key=` is the header Idempotency-Key."""
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return client.request("POST", f"/api/workflows/{workflow['id']}/execute", body, headers=sent)


def test_execute_is_durable_before_it_is_answered(client: Client, wired: Services, workflow: JsonObject) -> None:
    """The answer is 202; by then the run is in the event store, due in a moment, pinned, and in the queue."""
    answer = execute(client, workflow, {"input": {"n": 21}})
    execution_id = answer.json["execution_id"]
    assert (answer.status, answer.json["status"]) == (202, "queued")
    assert answer.json["url"] == f"http://api.test/api/executions/{execution_id}"
    row = run(wired.executions.get(client.tenant_id, execution_id))
    assert row is not None
    assert (row["status"], row["workflow_version"]) == ("queued", 1)
    assert unix_seconds(row["wake_at"]) - unix_seconds(row["created_at"]) == pytest.approx(FIRST_DUE_SECONDS)
    job = run(wired.producer.peek(execution_id))
    assert job is not None
    assert (job.tenant_id, job.kind) == (client.tenant_id, "resume")


def test_execute_shows_its_input_as_the_triggers_body(client: Client, workflow: JsonObject) -> None:
    """The run's trigger is manual, and its body is the input."""
    execution_id = execute(client, workflow, {"input": [1, "two", None]}).json["execution_id"]
    shown = client.request("GET", f"/api/executions/{execution_id}").json
    assert shown["trigger"]["type"] == "manual"
    assert shown["trigger"]["body"] == [1, "two", None]
    assert {node: record["status"] for node, record in shown["nodes"].items()} == {
        "hook": "pending",
        "hand": "pending",
        "double": "pending",
    }


def test_same_key_and_request_is_one_run(client: Client, workflow: JsonObject) -> None:
    """Repeating a request with its Idempotency-Key gives the same answer and one run."""
    first = execute(client, workflow, {"input": 1}, idempotency_key="order-7")
    again = execute(client, workflow, {"input": 1}, idempotency_key="order-7")
    assert (again.status, again.json) == (202, first.json)
    assert len(client.request("GET", "/api/executions").json["items"]) == 1


def test_same_key_with_another_request_is_refused(client: Client, workflow: JsonObject) -> None:
    """The key of one request does not serve another."""
    execute(client, workflow, {"input": 1}, idempotency_key="order-7")
    refused = execute(client, workflow, {"input": 2}, idempotency_key="order-7")
    assert (refused.status, refused.code) == (409, "idempotency_conflict")


SCHEMA = {
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}


@pytest.fixture
def strict(client: Client) -> JsonObject:
    """A published workflow whose input has a schema, and whose draft has moved on to another."""
    hand: JsonObject = {"id": "hand", "type": "manual_trigger", "parameters": {"input_schema": SCHEMA}}
    found: JsonObject = client.request("POST", "/api/workflows", {"name": "strict", "nodes": [hand], "edges": []}).json
    assert client.request("POST", f"/api/workflows/{found['id']}/publish").status == 200
    looser = {**hand, "parameters": {"input_schema": {"type": "object"}}}
    draft = {"name": "strict", "nodes": [looser], "edges": []}
    assert client.request("PUT", f"/api/workflows/{found['id']}", draft).status == 200
    return found


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({}, ["/input/n"]),
        ({"n": 0}, ["/input/n"]),
        ({"n": 1, "m": 2}, ["/input/m"]),
        ([], ["/input"]),
        (None, ["/input"]),
    ],
)
def test_input_that_does_not_fit_is_refused(
    client: Client, strict: JsonObject, given: Any, pointers: list[str]
) -> None:
    """Before anything is recorded, with a pointer to each mistake."""
    refused = execute(client, strict, {"input": given})
    assert (refused.status, refused.code, refused.pointers) == (422, "unprocessable", pointers)
    assert client.request("GET", "/api/executions").json["items"] == []


def test_input_with_a_mistake_in_every_item_is_refused_with_the_first_ones(client: Client) -> None:
    """3,000 items without 200 names each: 20 problems say what is wrong."""
    schema = {"items": {"required": [f"n{number}" for number in range(200)]}}
    hand = {"id": "hand", "type": "manual_trigger", "parameters": {"input_schema": schema}}
    found = client.request("POST", "/api/workflows", {"name": "w", "nodes": [hand], "edges": []}).json
    assert client.request("POST", f"/api/workflows/{found['id']}/publish").status == 200
    refused = execute(client, found, {"input": [{}] * 3_000})
    assert (refused.status, refused.pointers) == (422, [f"/input/0/n{number}" for number in range(20)])


def test_input_too_large_for_its_schema_is_refused(client: Client) -> None:
    """With the limit, and before anything is recorded."""
    schema = {"items": {"type": "integer"}}
    hand = {"id": "hand", "type": "manual_trigger", "parameters": {"input_schema": schema}}
    found = client.request("POST", "/api/workflows", {"name": "w", "nodes": [hand], "edges": []}).json
    assert client.request("POST", f"/api/workflows/{found['id']}/publish").status == 200
    refused = execute(client, found, {"input": [1] * MAX_REQUEST_STEPS})
    assert (refused.status, refused.code) == (422, "limit")
    assert client.request("GET", "/api/executions").json["items"] == []


def test_input_is_held_against_the_version_that_runs(client: Client, strict: JsonObject) -> None:
    """The published schema for published runs, the draft's for the draft's."""
    assert execute(client, strict, {"input": {"n": 1}}).status == 202
    assert execute(client, strict, {"input": {}, "version": "draft"}).status == 202


def test_schema_that_is_not_known_is_refused_when_published(client: Client) -> None:
    """Rather than ignored at execute."""
    hand = {"id": "hand", "type": "manual_trigger", "parameters": {"input_schema": {"pattern": "x"}}}
    found = client.request("POST", "/api/workflows", {"name": "w", "nodes": [hand], "edges": []}).json
    refused = client.request("POST", f"/api/workflows/{found['id']}/publish")
    assert (refused.status, refused.pointers) == (422, ["/nodes/0/parameters/input_schema"])


def test_keys_of_two_tenants_are_apart(client: Client, workflow: JsonObject) -> None:
    """An Idempotency-Key means something to one tenant's workflow alone."""
    other = Client()
    theirs = other.request("POST", "/api/workflows", DOUBLING).json
    other.request("POST", f"/api/workflows/{theirs['id']}/publish")
    mine = execute(client, workflow, {}, idempotency_key="same").json["execution_id"]
    assert execute(other, theirs, {}, idempotency_key="same").json["execution_id"] != mine


def test_unpublished_workflow_runs_only_its_draft(client: Client) -> None:
    """Without a published version, `published` is a 422; `draft` and the draft's number run."""
    workflow = client.request("POST", "/api/workflows", DOUBLING).json
    refused = execute(client, workflow)
    assert (refused.status, refused.code) == (422, "not_published")
    assert execute(client, workflow, {"version": "draft"}).status == 202
    assert execute(client, workflow, {"version": 1}).status == 202


def test_draft_that_cannot_run_is_refused_with_its_problems(client: Client) -> None:
    """An invalid draft is a 422 like at publishing."""
    graph = {"name": "half", "nodes": [{"id": "lonely", "type": "no_such_type"}], "edges": []}
    workflow = client.request("POST", "/api/workflows", graph).json
    refused = execute(client, workflow, {"version": "draft"})
    assert (refused.status, refused.code) == (422, "invalid_graph")
    assert refused.json["errors"]


@pytest.mark.parametrize("version", [0, 2, -1, 2**40])
def test_version_that_does_not_exist_is_refused(client: Client, workflow: JsonObject, version: int) -> None:
    """A version that was never saved is a 422 that points at it."""
    refused = execute(client, workflow, {"version": version})
    assert (refused.status, refused.pointers) == (422, ["/version"])


@pytest.mark.parametrize("body", [{"version": "latest"}, {"version": 1.5}, {"version": True}, {"inputs": {}}, []])
def test_malformed_request_is_refused(client: Client, workflow: JsonObject, body: Any) -> None:
    """Another type, an unknown word and an unknown field are a 400 that says where."""
    refused = execute(client, workflow, body)
    assert (refused.status, refused.code) == (400, "invalid_request")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_malformed_key_is_refused(client: Client, workflow: JsonObject, key: str) -> None:
    """An Idempotency-Key has 1 to 255 characters."""
    assert execute(client, workflow, {}, idempotency_key=key).status == 400


def test_wait_that_is_over_answers_as_without(client: Client, workflow: JsonObject) -> None:
    """When the run does not end in time, the answer is the 202."""
    answer = execute(client, workflow, {}, prefer="respond-async, wait=1")
    assert (answer.status, answer.json["status"]) == (202, "queued")


def test_archived_and_unknown_workflows_do_not_run(client: Client, workflow: JsonObject) -> None:
    """An archived workflow starts nothing; an unknown one is not found."""
    assert client.request("DELETE", f"/api/workflows/{workflow['id']}").status == 204
    assert execute(client, workflow).code == "not_published"
    assert execute(client, {"id": new_id()}).status == 404
    assert execute(Client(), workflow).status == 404


def test_run_survives_an_unreachable_queue(
    client: Client, wired: Services, workflow: JsonObject, supabase_gateway: SupabaseGateway
) -> None:
    """Without Redis the run is accepted all the same: its row is due, and the sweep will find it."""

    from shared.commands.executions.execute_workflow import ExecuteWorkflow, execute_workflow
    from shared.domain.actor import Actor
    from shared.repositories.database import Database
    from shared.settings import settings

    async def without_redis() -> str:
        found = Services(
            Database(supabase_gateway.url, supabase_gateway.service_key),
            settings()._replace(redis_port=1),
        )
        try:
            actor = Actor(client.tenant_id, "user:test", "editor")
            return await execute_workflow(found, actor, workflow["id"], ExecuteWorkflow())
        finally:
            await found.database.close()

    row = run(wired.executions.get(client.tenant_id, run(without_redis())))
    assert row is not None
    assert row["wake_at"] is not None
