"""/api/executions on the real database and queue."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from shared.bootstrap import Services
from shared.events.execution import ExecutionQueued, ExecutionStarted, ExecutionSucceeded
from shared.events.node import NodeSkipped, NodeSucceeded
from shared.ids import new_id
from shared.json_types import JsonObject
from shared.platform.runtime import loop, run
from shared.queries.executions.get_execution import get_execution
from shared.queries.executions.list_execution_events import list_execution_events
from tests.integration.http.client import Client
from tests.integration.http.runs import append, deliver, happen

DOUBLED = NodeSucceeded("double", 1, 42, ["out"], 1_767_225_600_000, [])
SUCCEEDED = (ExecutionStarted(1, "hand"), DOUBLED, NodeSkipped("hook"), ExecutionSucceeded(42))


@pytest.fixture
def execution_id(client: Client, workflow: JsonObject) -> str:
    """A run that was started by hand and that no drain has seen."""
    found = client.request("POST", f"/api/workflows/{workflow['id']}/execute", {"input": {"n": 21}})
    assert found.status == 202, found
    return str(found.json["execution_id"])


def test_finished_run_is_shown_with_every_node(client: Client, wired: Services, execution_id: str) -> None:
    """The run's output, its nodes' fates and what they yielded are folded from its events."""
    happen(wired, client.tenant_id, execution_id, *SUCCEEDED)
    shown = client.request("GET", f"/api/executions/{execution_id}").json
    assert (shown["status"], shown["output"], shown["workflow_version"]) == ("succeeded", 42, 1)
    assert {node_id: node["status"] for node_id, node in shown["nodes"].items()} == {
        "hook": "skipped",
        "hand": "succeeded",
        "double": "succeeded",
    }
    assert (shown["nodes"]["double"]["output"], shown["nodes"]["double"]["handle"]) == (42, "out")
    assert shown["finished_at"] is not None


def test_at_shows_the_run_as_it_was(client: Client, wired: Services, execution_id: str) -> None:
    """`?at=` folds up to a sequence number; before the first event there is no run."""
    happen(wired, client.tenant_id, execution_id, *SUCCEEDED)
    events = client.request("GET", f"/api/executions/{execution_id}/events").json["items"]
    path, started = f"/api/executions/{execution_id}", events[1]["sequence_number"]
    then = client.request("GET", path, query={"at": started}).json
    assert (then["status"], then["nodes"]["double"]["status"]) == ("running", "pending")
    assert client.request("GET", path, query={"at": events[0]["sequence_number"] - 1}).status == 404


def test_accepted_delivery_is_queued_before_any_event(client: Client, wired: Services, workflow: JsonObject) -> None:
    """Right after a webhook's 202 its run is shown from the queue, to its own tenant alone."""
    execution_id = deliver(wired, client.tenant_id, workflow["id"], {"n": 4})
    shown = client.request("GET", f"/api/executions/{execution_id}").json
    assert (shown["status"], shown["workflow_id"], shown["workflow_version"]) == ("queued", workflow["id"], None)
    assert (shown["trigger"]["event_type"], shown["trigger"]["body"]) == ("push", {"n": 4})
    events = client.request("GET", f"/api/executions/{execution_id}/events")
    assert (events.status, events.json) == (200, {"items": [], "next_cursor": None})
    assert Client().request("GET", f"/api/executions/{execution_id}").status == 404
    assert Client().request("GET", f"/api/executions/{execution_id}/events").status == 404


def test_list_filters_and_pages(client: Client, wired: Services, workflow: JsonObject, execution_id: str) -> None:
    """Runs are listed newest first, by workflow, status and time of creation."""
    second = client.request("POST", f"/api/workflows/{workflow['id']}/execute").json["execution_id"]
    happen(wired, client.tenant_id, second, *SUCCEEDED)

    def ids(**query: Any) -> list[str]:
        return [item["id"] for item in client.request("GET", "/api/executions", query=query).json["items"]]

    assert ids() == [second, execution_id]
    assert ids(status="succeeded") == [second]
    assert ids(workflow_id=workflow["id"], limit=1) == [second]
    assert ids(workflow_id=new_id()) == []
    created_at = client.request("GET", f"/api/executions/{second}").json["created_at"]
    assert ids(since=created_at) == [second]
    assert ids(until=created_at) == [execution_id]
    first = client.request("GET", "/api/executions", query={"limit": 1}).json
    assert ids(limit=1, cursor=first["next_cursor"]) == [execution_id]
    called = new_id()
    caller = {"node_id": "ask", "depth": 1, "is_awaited": False, "handles_error": False}
    queued = ExecutionQueued(workflow["id"], 1, {"type": "call"}, execution_id, caller=caller)
    happen(wired, client.tenant_id, called, queued)
    assert ids(parent_id=execution_id) == [called]


def test_events_page_in_order(client: Client, wired: Services, execution_id: str) -> None:
    """Events come in the stream's order; `after` and the cursor go on from a version."""
    happen(wired, client.tenant_id, execution_id, *SUCCEEDED)
    path = f"/api/executions/{execution_id}/events"
    first = client.request("GET", path, query={"limit": 2}).json
    rest = client.request("GET", path, query={"cursor": first["next_cursor"]}).json
    assert [event["stream_version"] for event in first["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert rest["next_cursor"] is None
    after = client.request("GET", path, query={"after": 4}).json["items"]
    assert [event["event_type"] for event in after] == ["ExecutionSucceeded"]
    assert client.request("GET", path, query={"after": 2**63 - 1}).json["items"] == []


def test_events_wait_ends_at_once_when_the_run_has_ended(client: Client, wired: Services, execution_id: str) -> None:
    """Nothing can follow the last event: a long poll after it answers without waiting."""
    happen(wired, client.tenant_id, execution_id, *SUCCEEDED)
    began = time.monotonic()
    found = client.request("GET", f"/api/executions/{execution_id}/events", query={"after": 5, "wait": 20})
    assert found.json["items"] == []
    assert time.monotonic() - began < 2


def test_events_wait_for_what_comes_next(client: Client, wired: Services, execution_id: str) -> None:
    """A long poll answers as soon as the next event is there."""

    async def later() -> None:
        await asyncio.sleep(0.5)
        await append(wired, client.tenant_id, execution_id, ExecutionStarted(1, "hand"))

    began, drain = time.monotonic(), loop().create_task(later())
    found = client.request("GET", f"/api/executions/{execution_id}/events", query={"after": 1, "wait": 10})
    assert [event["event_type"] for event in found.json["items"]] == ["ExecutionStarted"]
    assert 0.4 < time.monotonic() - began < 5
    run(asyncio.wait_for(drain, 1))


def test_cancel_ends_the_run(client: Client, wired: Services, execution_id: str) -> None:
    """A cancelled run is over, says who asked and why, and stays so when it is cancelled again."""
    path = f"/api/executions/{execution_id}"
    happen(wired, client.tenant_id, execution_id, ExecutionStarted(1, "hand"))
    for _ in range(2):
        cancelled = client.request("POST", f"{path}/cancel", {"reason": "a mistake"})
        assert (cancelled.status, cancelled.json) == (200, {"id": execution_id, "status": "cancelled"})
    assert client.request("GET", path).json["nodes"]["double"]["status"] == "cancelled"
    last = client.request("GET", f"{path}/events").json["items"][-1]
    assert (last["event_type"], last["payload"]) == ("ExecutionCancelled", {"reason": "a mistake"})
    assert last["metadata"]["actor"] == "api_key:test"
    row = run(wired.executions.get(client.tenant_id, execution_id))
    assert row is not None
    assert row["wake_at"] is None


def test_cancel_of_a_finished_run_is_refused(client: Client, wired: Services, execution_id: str) -> None:
    """A run that has succeeded can no longer change."""
    happen(wired, client.tenant_id, execution_id, *SUCCEEDED)
    refused = client.request("POST", f"/api/executions/{execution_id}/cancel")
    assert (refused.status, refused.code) == (409, "execution_finished")


def test_cancel_of_a_queued_delivery_writes_its_ledger(client: Client, wired: Services, workflow: JsonObject) -> None:
    """A delivery that no drain has begun is recorded as accepted, begun and cancelled."""
    execution_id = deliver(wired, client.tenant_id, workflow["id"], {"n": 4})
    assert Client().request("POST", f"/api/executions/{execution_id}/cancel").status == 404
    assert client.request("POST", f"/api/executions/{execution_id}/cancel").status == 200
    events = client.request("GET", f"/api/executions/{execution_id}/events").json["items"]
    assert [event["event_type"] for event in events] == ["ExecutionQueued", "ExecutionCancelled"]
    webhook_id = events[0]["payload"]["trigger"]["webhook_id"]
    (delivery,) = run(wired.webhooks.deliveries(client.tenant_id, webhook_id, 10))
    assert (delivery["verdict"], delivery["execution_id"]) == ("accepted", execution_id)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/events"), ("POST", "/cancel")],
)
def test_another_tenants_run_is_not_found(client: Client, execution_id: str, method: str, path: str) -> None:
    """Another tenant's run is as unknown as one that does not exist."""
    assert Client().request(method, f"/api/executions/{execution_id}{path}").status == 404
    assert client.request(method, f"/api/executions/{new_id()}{path}").status == 404


@pytest.mark.parametrize(
    "query",
    [{"status": "done"}, {"since": "yesterday"}, {"workflow_id": "x"}, {"limit": 101}, {"sort": "up"}, {"cursor": "x"}],
)
def test_malformed_filters_are_refused(client: Client, query: JsonObject) -> None:
    """Unknown words, malformed times, ids and cursors are a 400."""
    assert client.request("GET", "/api/executions", query=query).status == 400


def test_large_outputs_do_not_break_the_answer(client: Client, wired: Services, execution_id: str) -> None:
    """An answer that would not fit leaves large outputs out and says so; each is whole in the events, page by page."""
    big = "x" * 3_000_000
    happen(
        wired,
        client.tenant_id,
        execution_id,
        ExecutionStarted(1, "hand"),
        NodeSucceeded("double", 1, big, ["out"], 1_767_225_600_000, []),
        ExecutionSucceeded(big),
    )
    shown = client.request("GET", f"/api/executions/{execution_id}")
    assert len(shown.text) < 6_000_000
    assert shown.json["output_omitted"]
    assert shown.json["nodes"]["double"]["output_omitted"]
    first = client.request("GET", f"/api/executions/{execution_id}/events")
    assert len(first.text) < 6_000_000
    assert first.json["next_cursor"]


def test_many_outputs_do_not_break_the_answer(client: Client, wired: Services, execution_id: str) -> None:
    """Each of them is small; as many are left out as must be."""
    many = [NodeSucceeded(f"n{number}", 1, "x" * 12_000, ["out"], 1_767_225_600_000, []) for number in range(700)]
    happen(wired, client.tenant_id, execution_id, ExecutionStarted(1, "hand"), *many, ExecutionSucceeded(1))
    shown = client.request("GET", f"/api/executions/{execution_id}")
    assert shown.status == 200
    omitted = sum("output_omitted" in node for node in shown.json["nodes"].values())
    assert 200 < omitted < 400


def test_event_that_is_larger_than_an_answer_is_told(client: Client, wired: Services, execution_id: str) -> None:
    """A text takes six times its bytes in JSON, where all of it must be escaped: the page goes on behind it."""
    happen(wired, client.tenant_id, execution_id, ExecutionStarted(1, "hand"), ExecutionSucceeded("\x01" * 1_100_000))
    path = f"/api/executions/{execution_id}/events"
    first = client.request("GET", path)
    last = client.request("GET", path, query={"cursor": first.json["next_cursor"]})
    assert (first.status, last.status, last.json["next_cursor"]) == (200, 200, None)
    assert last.json["items"][0]["payload"] == {"output": None, "output_omitted": True}
    assert client.request("GET", f"/api/executions/{execution_id}").json["output_omitted"]


def test_run_that_begins_between_two_looks_is_found(client: Client, wired: Services) -> None:
    """A drain may take the job after the events were read and before the queue is looked at: no gap to fall into."""

    async def peek(asked: str) -> None:
        await append(wired, client.tenant_id, asked, ExecutionQueued(new_id(), 1, {"type": "manual"}))

    shown = run(get_execution(wired.events, wired.workflows, peek, client.tenant_id, new_id()))
    assert shown["status"] == "queued"
    events = list_execution_events(wired.events, wired.executions, peek, client.tenant_id, new_id(), 0, 10)
    assert run(events).items == []


def test_run_that_ends_between_two_looks_is_told(client: Client, wired: Services) -> None:
    """A run may begin and end after the events were read and before its state is: a long poll tells it, at once."""

    async def peek(asked: str) -> None:
        await append(wired, client.tenant_id, asked, ExecutionQueued(new_id(), 1, {"type": "manual"}), *SUCCEEDED)

    began = time.monotonic()
    events = list_execution_events(wired.events, wired.executions, peek, client.tenant_id, new_id(), 0, 10, 20)
    assert [event["stream_version"] for event in run(events).items] == [1, 2, 3, 4, 5]
    assert time.monotonic() - began < 5


def test_signal_is_recorded_with_its_payload(client: Client, execution_id: str) -> None:
    """One that comes before anybody waits is kept; a name that no node can wait for is refused."""
    answer = client.request("POST", f"/api/executions/{execution_id}/signals/approval", {"payload": {"approved": True}})
    events = client.request("GET", f"/api/executions/{execution_id}/events").json["items"]
    assert (answer.status, answer.json) == (200, {"id": execution_id, "status": "queued"})
    assert events[-1]["payload"] == {"name": "approval", "payload": {"approved": True}, "key": None, "node_id": None}
    assert client.request("POST", f"/api/executions/{execution_id}/signals/a%20b", {}).status == 400
