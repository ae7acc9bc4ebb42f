"""`python -m local rebuild`: the rows that the events imply are the rows that are there."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from supabase import Client as SupabaseClient

from local.stack.gateway_process import SupabaseGateway
from local.tools import rebuild
from shared.bootstrap import Services
from shared.events.execution import ExecutionFailed, ExecutionStarted
from shared.json_types import JsonObject
from tests.integration.http.client import Client
from tests.integration.http.graphs import DOUBLING
from tests.integration.http.runs import happen


@pytest.fixture
def supabase(supabase_gateway: SupabaseGateway) -> Iterator[SupabaseClient]:
    """The official client with the service key."""
    with rebuild.connect(supabase_gateway.url, supabase_gateway.service_key) as client:
        yield client


@pytest.fixture
def history(client: Client, wired: Services, workflow: JsonObject) -> JsonObject:
    """A tenant to whom everything has happened that the API can make happen."""
    path = f"/api/workflows/{workflow['id']}"
    for method, target, body in (
        ("PUT", path, {**DOUBLING, "name": "renamed", "tags": ["a"], "settings": {"x": 1}}),
        ("POST", f"{path}/publish", None),
        ("POST", f"{path}/unpublish", None),
        ("PUT", path, {**DOUBLING, "description": base64.b64encode(bytes(5000)).decode()}),
        ("POST", f"{path}/publish", None),
    ):
        assert client.request(method, target, body).status == 200
    archived = client.request("POST", "/api/workflows", DOUBLING).json
    client.request("DELETE", f"/api/workflows/{archived['id']}")
    webhook = {"name": "w", "workflow_id": workflow["id"], "provider": "github"}
    made = [client.request("POST", "/api/webhooks", webhook).json["id"] for _ in range(2)]
    client.request("PUT", f"/api/webhooks/{made[0]}", {**webhook, "status": "paused", "secret": "another one"})
    client.request("DELETE", f"/api/webhooks/{made[1]}")
    keys = [client.request("POST", "/api/api-keys", {"name": "k", "role": "viewer"}).json["id"] for _ in range(2)]
    client.request("DELETE", f"/api/api-keys/{keys[0]}")
    runs = [client.request("POST", f"{path}/execute", {"input": n}).json["execution_id"] for n in range(3)]
    client.request("POST", f"/api/executions/{runs[0]}/cancel")
    failed = ExecutionFailed({"code": "stopped", "message": "No.", "node_id": "double"})
    happen(wired, client.tenant_id, runs[1], ExecutionStarted(3, "hand"), failed)
    return {"workflow": workflow["id"], "webhook": made[0], "execution": runs[2], "api_key": keys[1]}


def test_check_finds_live_rows_equal(
    supabase_gateway: SupabaseGateway, history: JsonObject, capsys: pytest.CaptureFixture[str]
) -> None:
    """After everything that can happen, the live read models are exactly what the events imply."""
    arguments = ["--check", "--url", supabase_gateway.url, "--key", supabase_gateway.service_key]
    assert rebuild.main(arguments) == 0, capsys.readouterr().err
    assert "match the event store" in capsys.readouterr().out


def test_check_names_what_differs(
    supabase_gateway: SupabaseGateway,
    history: JsonObject,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A changed, a missing and an invented row are each named with their place; a rebuild mends the first two."""
    monkeypatch.setattr(rebuild, "PAUSE_SECONDS", 0.0)
    arguments = ["--url", supabase_gateway.url, "--key", supabase_gateway.service_key]
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        connection.execute("update workflows set name = 'spoilt' where id = %s", [history["workflow"]])
        connection.execute("update executions set status = 'running' where id = %s", [history["execution"]])
        connection.execute("delete from webhooks where id = %s", [history["webhook"]])
        assert rebuild.main(["--check", *arguments]) == 1
        shown = capsys.readouterr().err
        assert f"workflows {history['workflow']}: name is 'spoilt', the events say 'double'" in shown
        assert f"executions {history['execution']}: status is 'running', the events say 'queued'" in shown
        assert f"webhooks {history['webhook']}: the row is missing" in shown
        assert rebuild.main(arguments) == 0
        assert rebuild.main(["--check", *arguments]) == 0


def test_rebuild_leaves_secrets_alone(
    supabase_gateway: SupabaseGateway, supabase: SupabaseClient, history: JsonObject
) -> None:
    """Encrypted secrets and key hashes, which no event holds, survive a rebuild; so does every other column."""

    def rows() -> dict[str, list[Any]]:
        with psycopg.connect(supabase_gateway.database_url) as connection:
            tables = ("workflows", "workflow_versions", "webhooks", "api_keys")
            return {
                table: connection.execute(
                    f"select to_jsonb(t) as r from {table} t order by to_jsonb(t)::text"
                ).fetchall()
                for table in tables
            }

    before = rows()
    assert rebuild.rebuild(supabase) > 10
    assert rows() == before
    assert any(row["secret"] for (row,) in before["webhooks"])
