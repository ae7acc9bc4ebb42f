"""/api/events on the real database."""

from __future__ import annotations

from shared.ids import new_id
from shared.json_types import JsonObject
from tests.integration.http.client import Client


def test_feed_shows_everything_in_order(client: Client, workflow: JsonObject) -> None:
    """A tenant sees its own events, oldest first, with who caused them."""
    client.request("POST", f"/api/workflows/{workflow['id']}/execute")
    items = client.request("GET", "/api/events").json["items"]
    assert [item["event_type"] for item in items] == ["WorkflowCreated", "WorkflowPublished", "ExecutionQueued"]
    numbers = [item["sequence_number"] for item in items]
    assert numbers == sorted(numbers)
    assert {item["metadata"]["actor"] for item in items} == {"api_key:test"}


def test_feed_goes_on_from_a_position(client: Client, workflow: JsonObject) -> None:
    """The position of one answer is the next one's `after`, also when nothing had happened."""
    first = client.request("GET", "/api/events", query={"limit": 1}).json
    assert first["next_cursor"]
    second = client.request("GET", "/api/events", query={"cursor": first["next_cursor"]}).json
    assert [item["event_type"] for item in second["items"]] == ["WorkflowPublished"]
    nothing = client.request("GET", "/api/events", query={"after": second["position"]}).json
    assert (nothing["items"], nothing["next_cursor"]) == ([], None)
    client.request("POST", f"/api/workflows/{workflow['id']}/unpublish")
    news = client.request("GET", "/api/events", query={"after": nothing["position"]}).json["items"]
    assert [item["event_type"] for item in news] == ["WorkflowUnpublished"]


def test_feed_filters_by_type_and_stream(client: Client, workflow: JsonObject) -> None:
    """`type` and `stream_id` narrow the feed."""
    published = client.request("GET", "/api/events", query={"type": "WorkflowPublished"}).json["items"]
    assert [item["stream_id"] for item in published] == [workflow["id"]]
    assert len(client.request("GET", "/api/events", query={"stream_id": workflow["id"]}).json["items"]) == 2
    assert client.request("GET", "/api/events", query={"stream_id": new_id()}).json["items"] == []


def test_feed_of_another_tenant_is_empty(workflow: JsonObject) -> None:
    """Nobody sees another tenant's events, by whatever filter."""
    assert Client().request("GET", "/api/events").json["items"] == []
    assert Client().request("GET", "/api/events", query={"stream_id": workflow["id"]}).json["items"] == []
