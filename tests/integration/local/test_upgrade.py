"""The migrations over a database that is in use already."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local.stack import migrations
from local.stack.postgres import PostgresServer
from shared.json_types import JsonObject

TENANT, WORKFLOW, WEBHOOK, EXECUTION = (f"00000000-0000-0000-0000-00000000000{n}" for n in range(1, 5))
AT = "2026-11-20T10:00:00+00:00"
# The first migration after the version whose rows these are.
LATER = "20261130"


@pytest.fixture
def earlier(postgres: PostgresServer, tmp_path: Path) -> str:
    """A database as the version before left it, with a workflow, a webhook and a run that has begun."""
    for path in migrations.FOLDER.glob("*.sql"):
        if path.name < LATER:
            shutil.copy(path, tmp_path)
    url = postgres.createdb("earlier")
    migrations.apply(url, tmp_path)
    row = {"tenant_id": TENANT, "created_at": AT, "updated_at": AT, "stream_version": 1}
    workflow = row | {"id": WORKFLOW, "name": "w", "nodes": [], "edges": [], "version": 1, "status": "published"}
    webhook = row | {"id": WEBHOOK, "name": "h", "workflow_id": WORKFLOW, "provider": "custom", "config": {}}
    run = row | {"id": EXECUTION, "workflow_id": WORKFLOW, "webhook_id": WEBHOOK, "status": "running"}
    delivery = {"id": EXECUTION, "tenant_id": TENANT, "webhook_id": WEBHOOK, "received_at": AT, "verdict": "accepted"}
    append(url, "workflow", WORKFLOW, 0, 1, workflows=[workflow | {"tags": [], "settings": {}}])
    append(url, "webhook", WEBHOOK, 0, 1, webhooks=[webhook | {"status": "awaiting_secret"}])
    deliveries = [delivery | {"execution_id": EXECUTION, "size_bytes": 2}]
    append(
        url,
        "execution",
        EXECUTION,
        0,
        3,
        executions=[run | {"stream_version": 3, "wake_at": AT, "trigger": {}}],
        deliveries=deliveries,
    )
    return url


def test_rows_of_the_version_before_are_kept_and_go_on(earlier: str) -> None:
    """After the upgrade a stream's hashes still hold, its events are read and appended to, and its run is found due."""
    migrations.apply(earlier)
    append(earlier, "execution", EXECUTION, 3, 2)
    stream = {"tenant_id": TENANT, "stream_id": EXECUTION}
    assert call(earlier, "verify_stream", stream) == {"valid": True, "events_checked": 5}
    page = call(earlier, "read_stream_page", stream | {"after": 0, "limit": 4, "max_bytes": 1_000_000})
    assert ([event["payload"] for event in page["events"]], page["more"]) == ([{"n": n} for n in range(1, 5)], True)
    assert len(call(earlier, "read_feed", {"tenant_id": TENANT, "after": 0, "limit": 100})["events"]) == 7
    assert [run["execution_id"] for run in call(earlier, "claim_due", {"lease_seconds": 60})] == [EXECUTION]


def append(url: str, stream_type: str, stream_id: str, expected: int, size: int, **rows: list[JsonObject]) -> None:
    """Appends `size` events above version `expected` of a stream, with the rows that follow from them."""
    versions = range(expected + 1, expected + size + 1)
    ids = [f"{stream_id[:-3]}{version}0{stream_id[-1]}" for version in versions]
    stream = {"tenant_id": TENANT, "stream_id": stream_id, "stream_type": stream_type, "expected_version": expected}
    fact = {"stream_id": stream_id, "event_type": "Happened", "timestamp": AT}
    events = [
        fact | {"id": event_id, "stream_version": version, "payload": {"n": version}}
        for event_id, version in zip(ids, versions, strict=True)
    ]
    argument = {"streams": [stream | {"first_event_id": ids[0], "size": size}], "events": events, **rows}
    answer = call(url, "append_events", argument)
    assert [result["status"] for result in answer["results"]] == ["appended"]


def call(url: str, function: str, argument: JsonObject) -> Any:
    """What the database's function answers."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(f"select public.{function}(%s::jsonb)", [json.dumps(argument)]).fetchone()
    assert row is not None
    return row[0]
