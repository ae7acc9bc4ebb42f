"""Workflows over HTTP through the running stack: gateway, authorizer, functions, Supabase."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from shared.json_types import JsonObject
from tests.e2e.clients import client_of

DRAFT: JsonObject = {
    "name": "Deploy on push",
    "nodes": [
        {"id": "hook", "type": "webhook_trigger"},
        {"id": "is_main", "type": "if", "parameters": {"condition": "{% $trigger.body.ref = 'refs/heads/main' %}"}},
    ],
    "edges": [{"source": "hook", "target": "is_main"}],
}


@pytest.fixture
def http(stack: Any) -> Iterator[httpx.Client]:
    """The tenant's administrator."""
    with client_of(stack, stack.api_key) as client:
        yield client


def test_workflow_lives_from_create_to_archive(http: httpx.Client) -> None:
    """Create, read, update with the ETag, publish, list, unpublish, archive."""
    created = http.post("/api/workflows", json=DRAFT)
    assert created.status_code == 201
    path = created.headers["location"]
    assert http.get(path).headers["etag"] == created.headers["etag"]
    changed = http.put(path, json={**DRAFT, "tags": ["ci"]}, headers={"If-Match": created.headers["etag"]})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    stale = http.put(path, json=DRAFT, headers={"If-Match": created.headers["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert http.post(f"{path}/publish").json() == {"id": created.json()["id"], "version": 2, "published_version": 2}
    listed = http.get("/api/workflows", params={"status": "published", "tag": "ci"}).json()["items"]
    assert created.json()["id"] in [item["id"] for item in listed]
    assert http.post(f"{path}/unpublish").json()["published_version"] is None
    assert http.delete(path).status_code == 204
    assert http.get(path).json()["status"] == "archived"


def test_concurrent_updates_are_all_counted(http: httpx.Client) -> None:
    """Eight writers without If-Match: each either counts as a version or is told of the conflict."""
    path = http.post("/api/workflows", json=DRAFT).headers["location"]
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: http.put(path, json=DRAFT).status_code, range(8)))
    assert set(statuses) <= {200, 409}
    assert http.get(path).json()["version"] == 1 + statuses.count(200)


def test_concurrent_updates_of_one_version_have_one_winner(http: httpx.Client) -> None:
    """Eight writers with the same If-Match: one is 200, seven are 412."""
    created = http.post("/api/workflows", json=DRAFT)
    headers = {"If-Match": created.headers["etag"]}
    with ThreadPoolExecutor(8) as threads:
        statuses = list(
            threads.map(
                lambda _: http.put(created.headers["location"], json=DRAFT, headers=headers).status_code, range(8)
            )
        )
    assert sorted(statuses) == [200] + [412] * 7


def test_new_key_opens_the_api_until_it_is_revoked(http: httpx.Client, stack: Any) -> None:
    """A viewer's key reads and does not write; an unknown one is turned away by the gateway."""
    key = http.post("/api/api-keys", json={"name": "reader", "role": "viewer"}).json()
    viewer = {"Authorization": f"Bearer {key['key']}"}
    assert httpx.get(f"{stack.api_url}/api/workflows", headers=viewer).status_code == 200
    refused = httpx.post(f"{stack.api_url}/api/workflows", headers=viewer, json=DRAFT)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert http.delete(f"/api/api-keys/{key['id']}").status_code == 204
    stranger = {"Authorization": f"Bearer {key['key'][:-2]}xx"}
    assert httpx.get(f"{stack.api_url}/api/workflows", headers=stranger).status_code == 403


@pytest.mark.parametrize("content", [b"{", b"[" * 1_000_000, b'{"name": "\\u0000"}', b"\xff\xfe", b"null", b"NaN"])
def test_malformed_bodies_are_problems(http: httpx.Client, content: bytes) -> None:
    """Through the gateway, too, whatever is sent is a 400 with a problem."""
    answer = http.post("/api/workflows", content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["code"] == "invalid_request"


def test_pages_are_open(stack: Any) -> None:
    """Health, documentation and console need no credentials."""
    assert httpx.get(f"{stack.api_url}/health").json()["status"] == "ok"
    assert httpx.get(f"{stack.api_url}/health/invariants").json() == {"ok": True, "violations": []}
    assert httpx.get(f"{stack.api_url}/openapi.json").json()["openapi"] == "3.1.0"
    for path in ("/docs", "/console", "/console/x"):
        assert httpx.get(f"{stack.api_url}{path}").headers["content-type"] == "text/html; charset=utf-8"
