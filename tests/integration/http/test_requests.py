"""What every operation does with requests that are not right: never a 500, always a problem that says where."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.domain.actor import Role
from shared.ids import new_id
from tests.integration.http.client import Client, answer, event
from tests.integration.http.graphs import draft

BODIES: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "two values": b"{} {}",
    "no UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a list": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "NaN": b'{"name": NaN}',
    "infinite": b'{"name": 1e999}',
    "huge integer": b'{"name": ' + b"9" * 5000 + b"}",
    "NUL": b'{"name": "a\\u0000b", "nodes": [], "edges": []}',
    "lone surrogate": b'{"name": "\\ud800", "nodes": [], "edges": []}',
    "NUL in a name": b'{"\\u0000": 1}',
    "twice the same name": b'{"name": "a", "name": "b", "nodes": [], "edges": []}',
    "deep lists": b"[" * 500_000 + b"]" * 500_000,
    "deep objects": b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
    "deep in a field": b'{"name": "x", "nodes": [' + b"[" * 200 + b"]" * 200 + b'], "edges": []}',
    "wrong types": b'{"name": 1, "nodes": {}, "edges": "x", "tags": [1], "settings": []}',
    "nodes that are none": b'{"name": "x", "nodes": [1, null, "a", []], "edges": [true]}',
    "empty nodes": b'{"name": "x", "nodes": [{}], "edges": [{}]}',
    "odd ids": b'{"name": "x", "nodes": [{"id": {}, "type": []}], "edges": [{"source": 1, "target": []}]}',
    "same id twice": b'{"name": "x", "nodes": [{"id": "a", "type": "if"}, {"id": "a", "type": "if"}], "edges": []}',
}

# A fixed one: names of tests must be the same in every worker.
NOBODYS = "01930000-0000-7000-8000-00000000dead"


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_malformed_body_is_a_400(client: Client, body: bytes, content_type: str) -> None:
    """Whatever is wrong with a body, the answer is a problem with a pointer."""
    for method, path in (("POST", "/api/workflows"), ("PUT", f"/api/workflows/{new_id()}")):
        found = client.request(method, path, raw=body, headers={"content-type": content_type})
        assert (found.status, found.code) == (400, "invalid_request"), found.text
        assert found.pointers


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", "", "application/json; charset=x"])
def test_json_is_read_whatever_the_content_type_says(client: Client, content_type: str) -> None:
    """curl's default and a missing content type do no harm."""
    raw = json.dumps(draft("Wörk 🚀")).encode()
    found = client.request("POST", "/api/workflows", raw=raw, headers={"content-type": content_type})
    assert found.json["name"] == "Wörk 🚀"


def test_an_unknown_field_is_named_with_a_hint(client: Client) -> None:
    """A typo in a field's name is refused with the name that was probably meant."""
    found = client.request("POST", "/api/workflows", {"nmae": "x", "nodes": [], "edges": []})
    errors = {error["pointer"]: error for error in found.json["errors"]}
    assert errors["/nmae"]["message"] == "There is no field named 'nmae'."
    assert errors["/nmae"]["hint"] == "Did you mean 'name'?"
    assert errors["/name"]["message"] == "This field is required."


def test_every_problem_of_a_body_has_its_pointer(client: Client) -> None:
    """Wrong types deep inside are found by JSON pointers."""
    body = {"name": "", "nodes": [{}, 1], "edges": [], "tags": ["ok", 2]}
    assert client.request("POST", "/api/workflows", body).pointers == ["/name", "/nodes/1", "/tags/1"]


def test_a_body_above_the_limit_is_a_413(client: Client) -> None:
    """More than 1 MiB is refused before it is parsed; a megabyte of nesting within it costs little."""
    found = client.request("POST", "/api/workflows", raw=b" " * 1_048_577)
    assert (found.status, found.code) == (413, "payload_too_large")
    started = time.perf_counter()
    assert client.request("POST", "/api/workflows", raw=b"[" * 1_048_576).status == 400
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/limit"),
        ("limit=101", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=1e2", "/limit"),
        ("limit=1_0", "/limit"),
        ("limit=", "/limit"),
        ("limit=%D9%A3", "/limit"),
        (f"limit={'9' * 5000}", "/limit"),
        ("limit=1&limit=2", "/limit"),
        ("status=live", "/status"),
        ("q=", "/q"),
        ("q=%00", "/q"),
        ("q=%ff", "/q"),
        ("tag=a%00b", "/tag"),
        ("sttus=draft", "/sttus"),
        ("a/b=1", "/a~1b"),
        ("%00=1", "/"),
    ],
)
def test_a_malformed_query_is_a_400(client: Client, query: str, pointer: str) -> None:
    """Unknown, repeated and malformed parameters are refused by name."""
    found = client.request("GET", "/api/workflows", query=None) if not query else _get(client, query)
    assert (found.status, found.code) == (400, "invalid_request")
    assert found.pointers == [pointer]


@pytest.mark.parametrize("cursor", ["x", "MTIz", "e30", "WyIxIiwiMiJd", "%", "W10=", "bnVsbA", "ünï", "a" * 400])
@pytest.mark.parametrize("path", ["/api/workflows", "/api/api-keys"])
def test_a_forged_cursor_is_a_400(client: Client, path: str, cursor: str) -> None:
    """A cursor that is not ours says so."""
    found = client.request("GET", path, query={"cursor": cursor})
    assert (found.status, found.code) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "text", ["x", "1", "%00", "00000000-0000-0000-0000-00000000000g", "null", "a" * 3000, "é", "..'"]
)
def test_an_id_that_is_no_uuid_is_not_found(client: Client, text: str) -> None:
    """An id that cannot exist does not exist."""
    for method, path, body in (
        ("GET", f"/api/workflows/{text}", None),
        ("PUT", f"/api/workflows/{text}", draft()),
        ("DELETE", f"/api/workflows/{text}", None),
        ("GET", f"/api/workflows/{text}/versions", None),
        ("POST", f"/api/workflows/{text}/publish", None),
        ("DELETE", f"/api/api-keys/{text}", None),
    ):
        found = client.request(method, path, body)
        assert (found.status, found.code) == (404, "not_found"), f"{method} {path}"


def test_without_an_authorizers_context_it_is_a_401(client: Client) -> None:
    """A request that did not pass the authorizer is nobody's, whatever it says of itself."""
    assert answer(event("GET", "/api/workflows", None, {"tenant_id": client.tenant_id}, "")).code == "unauthorized"


@pytest.mark.parametrize(
    "context",
    [
        None,
        {},
        {"tenant_id": "x", "actor": "a", "role": "admin"},
        {"tenant_id": 1, "actor": "a", "role": "admin"},
        {"tenant_id": new_id(), "actor": "a", "role": "root"},
        {"tenant_id": new_id(), "actor": "", "role": "admin"},
        {"tenant_id": new_id(), "actor": "a", "role": ["admin"]},
    ],
)
def test_half_an_authorizers_context_is_a_401(client: Client, context: Any) -> None:
    """Half a context is none: the functions fail closed."""
    sent = event("GET", "/api/workflows", None, {}, "")
    sent["requestContext"]["authorizer"] = {"lambda": context}
    assert answer(sent).status == 401


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "GET", "/api/workflows", 200),
        ("viewer", "POST", "/api/workflows", 403),
        ("viewer", "DELETE", f"/api/workflows/{NOBODYS}", 403),
        ("viewer", "POST", f"/api/workflows/{NOBODYS}/publish", 403),
        ("editor", "POST", "/api/workflows", 400),
        ("editor", "GET", "/api/api-keys", 403),
        ("editor", "POST", "/api/api-keys", 403),
        ("admin", "GET", "/api/api-keys", 200),
    ],
)
def test_roles_open_what_they_should(api: object, role: Role, method: str, path: str, status: int) -> None:
    """Viewers read, editors write, administrators manage keys; the refusal comes before anything is looked at."""
    found = Client(role=role).request(method, path)
    assert found.status == status
    assert status != 403 or found.code == "forbidden"


def test_scopes_narrow_a_role(api: object) -> None:
    """A key with scopes does nothing beyond them, whatever its role."""
    client = Client(role="admin", scopes=frozenset({"workflows:read"}))
    assert client.request("GET", "/api/workflows").status == 200
    refused = client.request("POST", "/api/workflows", draft())
    assert (refused.status, refused.code) == (403, "forbidden")
    assert "workflows:write" in refused.json["detail"]


def _get(client: Client, query: str) -> Any:
    from shared.domain.actor import Actor
    from shared.http.auth import context_of

    sent = event("GET", "/api/workflows", None, {}, query)
    sent["requestContext"]["authorizer"] = {"lambda": context_of(Actor(client.tenant_id, "test", "admin"))}
    return answer(sent)
