"""/api/workflows: the life of a workflow over the functions' handlers."""

from __future__ import annotations

from typing import Any

import pytest

from shared.ids import new_id
from shared.json_types import JsonObject
from tests.integration.http.client import Client
from tests.integration.http.graphs import HOOK, draft


def created(client: Client, **fields: Any) -> JsonObject:
    """A new workflow's body."""
    answer = client.request("POST", "/api/workflows", draft(**fields))
    assert answer.status == 201, answer.text
    body: JsonObject = answer.json
    return body


def test_create_workflow_answers_the_whole_draft(client: Client) -> None:
    """A draft comes back with its id, version 1, an ETag, and a Location that shows it again."""
    answer = client.request("POST", "/api/workflows", draft(tags=["a", "a", "b"], description="D", settings={"x": 1}))
    workflow = answer.json
    assert answer.status == 201
    assert (workflow["status"], workflow["version"], workflow["published_version"]) == ("draft", 1, None)
    assert workflow["tags"] == ["a", "b"]
    assert workflow["edges"][0]["source_handle"] == "out"
    again = client.request("GET", answer.headers["location"])
    assert (again.status, again.json, again.headers["etag"]) == (200, workflow, answer.headers["etag"])


def test_settings_that_say_something_wrong_are_pointed_to(client: Client) -> None:
    """What is ours among the settings is checked when it is saved; other names are the tenant's own."""
    answer = client.request("POST", "/api/workflows", draft(settings={"timeout_seconds": "soon", "x": 1}))
    assert (answer.status, [error["pointer"] for error in answer.json["errors"]]) == (
        400,
        ["/settings/timeout_seconds"],
    )


def test_create_workflow_takes_an_incomplete_draft(client: Client) -> None:
    """A draft without nodes, or with a type that does not exist yet, can be saved."""
    assert client.request("POST", "/api/workflows", {"name": "x", "nodes": [], "edges": []}).status == 201
    assert client.request("POST", "/api/workflows", draft(nodes=[{"id": "a", "type": "later"}], edges=[])).status == 201


def test_create_workflow_reads_react_flow(client: Client) -> None:
    """React Flow's camelCase handles and `data` are kept in the house's shape."""
    nodes = [{"id": "a", "type": "if", "data": {"condition": "{% true %}"}}, {"id": "b", "type": "fail"}]
    workflow = created(client, nodes=nodes, edges=[{"source": "a", "sourceHandle": "true", "target": "b"}])
    assert workflow["nodes"][0]["parameters"] == {"condition": "{% true %}"}
    assert workflow["edges"][0]["source_handle"] == "true"


def test_update_workflow_counts_versions_and_keeps_what_is_published(client: Client) -> None:
    """Each PUT is a new draft version; the published one stays until the draft is published."""
    path = f"/api/workflows/{created(client)['id']}"
    assert client.request("POST", f"{path}/publish").json["published_version"] == 1
    updated = client.request("PUT", path, draft("Renamed"))
    assert (updated.status, updated.json["version"], updated.json["published_version"]) == (200, 2, 1)
    assert client.request("POST", f"{path}/publish").json["published_version"] == 2


def test_update_workflow_refuses_a_stale_etag(client: Client) -> None:
    """If-Match with the current ETag or * replaces; with an older one, 412."""
    first = client.request("POST", "/api/workflows", draft())
    path = first.headers["location"]
    second = client.request("PUT", path, draft("2"), headers={"if-match": first.headers["etag"]})
    assert second.status == 200
    stale = client.request("PUT", path, draft("3"), headers={"if-match": first.headers["etag"]})
    assert (stale.status, stale.code) == (412, "precondition_failed")
    assert client.request("PUT", path, draft("3"), headers={"if-match": "*"}).status == 200
    assert client.request("PUT", path, draft("4"), headers={"if-match": f"W/{second.headers['etag']}"}).status == 412


def test_archive_workflow_hides_it_and_ends_its_changes(client: Client) -> None:
    """An archived workflow is in no list but its own, answers 409 to changes, and can be archived again."""
    workflow = created(client)
    path = f"/api/workflows/{workflow['id']}"
    assert [client.request("DELETE", path).status for _ in range(2)] == [204, 204]
    assert client.request("GET", path).json["status"] == "archived"
    assert client.request("GET", "/api/workflows").json["items"] == []
    archived = client.request("GET", "/api/workflows", query={"status": "archived"}).json["items"]
    assert [item["id"] for item in archived] == [workflow["id"]]
    for answer in (
        client.request("PUT", path, draft()),
        client.request("POST", f"{path}/publish"),
        client.request("POST", f"{path}/unpublish"),
    ):
        assert (answer.status, answer.code) == (409, "conflict")


def test_list_workflows_pages_without_gaps(client: Client) -> None:
    """Following the cursors shows every workflow once, newest first, without graphs."""
    ids = [created(client, name=f"w{number}")["id"] for number in range(5)]
    seen: list[str] = []
    query: JsonObject = {"limit": 2}
    while True:
        page = client.request("GET", "/api/workflows", query=query).json
        assert len(page["items"]) <= 2
        assert all("nodes" not in item for item in page["items"])
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]


def test_list_workflows_filters(client: Client) -> None:
    """Status, tag and a part of the name narrow the list; pattern characters are meant literally."""
    tagged = created(client, name="100% Sure", tags=["prod, eu", 'q"t'])["id"]
    other = created(client, name="100 Sheep")["id"]
    client.request("POST", f"/api/workflows/{other}/publish")

    def found(**query: str) -> list[str]:
        return [item["id"] for item in client.request("GET", "/api/workflows", query=query).json["items"]]

    assert found(tag="prod, eu") == found(tag='q"t') == found(q="0% s") == found(status="draft") == [tagged]
    assert found(status="published") == found(q="SHEEP") == [other]
    assert found(q="(),.*\\") == found(tag="{}") == []


def test_publish_workflow_again_answers_the_same(client: Client) -> None:
    """Publishing an unchanged draft twice makes one event and one answer."""
    path = f"/api/workflows/{created(client)['id']}"
    first, second = (client.request("POST", f"{path}/publish") for _ in range(2))
    assert first.status == second.status == 200
    assert first.json == second.json == {"id": path.rsplit("/", 1)[1], "version": 1, "published_version": 1}
    assert client.request("GET", path).headers["etag"] == '"2"'


def test_publish_workflow_names_every_problem(client: Client) -> None:
    """An invalid graph is a 422 with a pointer and a message for each problem, as validate shows them."""
    graph = {"nodes": [HOOK, {"id": "x", "type": "no_such_type"}], "edges": [{"source": "hook", "target": "gone"}]}
    path = f"/api/workflows/{created(client, **graph)['id']}"
    answer = client.request("POST", f"{path}/publish")
    assert (answer.status, answer.code) == (422, "invalid_graph")
    assert "/nodes/1/type" in answer.pointers
    assert any(pointer.startswith("/edges/0") for pointer in answer.pointers)
    validated = client.request("POST", "/api/workflows/validate", graph)
    assert validated.json == {"valid": False, "errors": answer.json["errors"]}


def test_validate_workflow_accepts_a_good_graph(client: Client) -> None:
    """A graph that could be published has no errors."""
    body = {key: value for key, value in draft().items() if key != "name"}
    assert client.request("POST", "/api/workflows/validate", body).json == {"valid": True, "errors": []}


def test_unpublish_workflow_stops_new_runs(client: Client) -> None:
    """After unpublish nothing is published; doing it again changes nothing; publishing brings it back."""
    path = f"/api/workflows/{created(client)['id']}"
    client.request("POST", f"{path}/publish")
    for _ in range(2):
        assert client.request("POST", f"{path}/unpublish").json["published_version"] is None
    assert client.request("GET", path).json["status"] == "draft"
    assert client.request("POST", f"{path}/publish").json["published_version"] == 1


def test_versions_show_what_was_published(client: Client) -> None:
    """Published versions stay as they were, newest first and in pages; a draft's version is not among them."""
    path = f"/api/workflows/{created(client)['id']}"
    client.request("POST", f"{path}/publish")
    client.request("PUT", path, draft(nodes=[HOOK], edges=[]))
    client.request("PUT", path, draft(settings={"third": True}))
    client.request("POST", f"{path}/publish")
    page = client.request("GET", f"{path}/versions", query={"limit": 1}).json
    rest = client.request("GET", f"{path}/versions", query={"cursor": page["next_cursor"]}).json
    assert [item["version"] for item in page["items"] + rest["items"]] == [3, 1]
    assert rest["next_cursor"] is None
    assert client.request("GET", f"{path}/versions/1").json == rest["items"][0]
    assert client.request("GET", f"{path}/versions/2").code == "not_found"


@pytest.mark.parametrize("version", ["0", "-1", "99", "x", "1.0", "9" * 30, "٣"])
def test_get_workflow_version_does_not_know_what_is_none(client: Client, version: str) -> None:
    """A version that is not there, or is no number, is not found."""
    path = f"/api/workflows/{created(client)['id']}"
    client.request("POST", f"{path}/publish")
    assert client.request("GET", f"{path}/versions/{version}").status == 404


def test_workflows_of_another_tenant_are_not_found(client: Client) -> None:
    """Every route answers a stranger as if the workflow were not there."""
    path = f"/api/workflows/{created(client)['id']}"
    client.request("POST", f"{path}/publish")
    stranger = Client()
    for method, target, body in (
        ("GET", path, None),
        ("PUT", path, draft()),
        ("DELETE", path, None),
        ("GET", f"{path}/versions", None),
        ("GET", f"{path}/versions/1", None),
        ("POST", f"{path}/publish", None),
        ("POST", f"{path}/unpublish", None),
    ):
        answer = stranger.request(method, target, body)
        assert (answer.status, answer.code) == (404, "not_found"), f"{method} {target}"
    assert client.request("GET", path).json["status"] == "published"


def test_ids_are_read_in_any_case(client: Client) -> None:
    """An upper-case UUID is the same id; an id that nobody has is not found."""
    workflow = created(client)
    assert client.request("GET", f"/api/workflows/{workflow['id'].upper()}").json == workflow
    assert client.request("GET", f"/api/workflows/{new_id()}").code == "not_found"
