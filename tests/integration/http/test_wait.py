"""`Prefer: wait=N` on the real database."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from shared.bootstrap import Services
from shared.events.execution import ExecutionFailed, ExecutionStarted
from shared.ids import derived_id
from shared.json_types import JsonObject
from shared.platform.runtime import loop, run
from tests.integration.http.client import Client
from tests.integration.http.runs import append


def test_wait_answers_with_the_finished_run(client: Client, wired: Services, workflow: JsonObject) -> None:
    """A run that ends in time, also by failing, is answered at once, whole, with 200."""
    execution_id = derived_id("execute", client.tenant_id, workflow["id"], "k")
    error = {"code": "stopped", "message": "No.", "node_id": "double"}

    async def drain() -> None:
        await asyncio.sleep(0.3)
        await append(wired, client.tenant_id, execution_id, ExecutionStarted(1, "hand"), ExecutionFailed(error))

    began, running = time.monotonic(), loop().create_task(drain())
    path = f"/api/workflows/{workflow['id']}/execute"
    answer = client.request("POST", path, {}, headers={"idempotency-key": "k", "prefer": "wait=20"})
    assert (answer.status, answer.json["id"], answer.json["status"]) == (200, execution_id, "failed")
    assert answer.json["error"] == error
    assert time.monotonic() - began < 5
    run(asyncio.wait_for(running, 1))


def test_store_that_is_lost_after_the_answer_refuses_no_run(
    client: Client, wired: Services, workflow: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was accepted, so that 202 says where it is; a caller who was told 503 would start another."""
    execution_id = derived_id("execute", client.tenant_id, workflow["id"], "k")

    async def drain() -> None:
        await asyncio.sleep(0.3)
        await wired.database.close()
        monkeypatch.setattr(wired.database, "_url", "http://127.0.0.1:9")
        await wired.replies.publish(execution_id, json.dumps({"status": "succeeded", "output": 1}))

    running = loop().create_task(drain())
    path = f"/api/workflows/{workflow['id']}/execute"
    answer = client.request("POST", path, {}, headers={"idempotency-key": "k", "prefer": "wait=20"})
    run(asyncio.wait_for(running, 1))
    assert (answer.status, answer.json["execution_id"], answer.json["status"]) == (202, execution_id, "queued")
