"""Servers hang for some seconds while runs are under way: the drains go on when they do, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import httpx
import pytest

from tests.faults.conftest import Hurt
from tests.faults.hanging_servers import frozen, silent_host

RUNS = 40
# Longer than a lock lives in this stack, and than a call of Redis may take.
FROZEN_SECONDS = 6.0
SLOW_RUNS = 150


@pytest.mark.slow
@pytest.mark.parametrize("name", ["redis", "gateway", "postgres"])
async def test_server_that_hangs_for_a_while_costs_no_run(hurt: Hurt, name: str) -> None:
    """Every run succeeds, no node is settled twice, and what is sent again carries the key that it was sent with."""
    hurt.sink.pause_seconds = 0.3
    call = {"type": "http_request", "timeout_seconds": 20}
    nodes = [
        {"id": node, **call, "parameters": {"method": "POST", "url": f"{hurt.sink.url}/{name}/{node}"}}
        for node in ("one", "two", "three")
    ]
    path = await hurt.hook(nodes, [("hook", "one"), ("one", "two"), ("two", "three")])
    execution_ids = list(await asyncio.gather(*(hurt.deliver(path, {"number": number}) for number in range(RUNS))))
    before = len(hurt.sink.received)
    await hurt.sink.received_at_least(before + RUNS // 4)
    with frozen(getattr(hurt.stack, name)):
        await asyncio.sleep(FROZEN_SECONDS)

    statuses = await asyncio.to_thread(hurt.wait_until_finished, execution_ids, 120)
    assert Counter(statuses.values()) == {"succeeded": RUNS}
    keys = hurt.rows(
        "select payload ->> 'idempotency_key' from event_store where event_type = 'NodeStarted' "
        "and stream_id = any(%s::uuid[])",
        execution_ids,
    )
    sent = {request.key for request in hurt.sink.received if request.path.startswith(f"/{name}/")}
    assert sent == {key for (key,) in keys}
    assert len(sent) == 3 * RUNS
    settled = hurt.rows(
        "select payload ->> 'node_id' from event_store where event_type = 'NodeSucceeded' "
        "and stream_id = any(%s::uuid[])",
        execution_ids,
    )
    assert Counter(node for (node,) in settled) == dict.fromkeys(("one", "two", "three"), RUNS)


@pytest.mark.slow
async def test_host_that_hangs_holds_up_no_other_tenants_run(hurt: Hurt) -> None:
    """One tenant has more runs there than a drain has places, and more requests than it may have under way; another's
    runs are answered meanwhile."""
    other = hurt.stack.new_tenant("other")
    headers = {"authorization": f"Bearer {other.api_key}"}
    with silent_host() as port:
        call = {"type": "http_request", "timeout_seconds": 25, "parameters": {"url": f"http://127.0.0.1:{port}/"}}
        names = [f"call_{number}" for number in range(4)]
        path = await hurt.hook([{"id": name, **call} for name in names], [("hook", name) for name in names])
        async with httpx.AsyncClient(base_url=hurt.stack.api_url, headers=headers, timeout=60) as api:
            graph = {
                "name": "quick",
                "nodes": [
                    {"id": "start", "type": "manual_trigger"},
                    {"id": "twice", "type": "transform", "parameters": {"value": "{% $trigger.body.n * 2 %}"}},
                ],
                "edges": [{"source": "start", "target": "twice"}],
            }
            workflow = (await api.post("/api/workflows", json=graph)).raise_for_status().json()["id"]
            (await api.post(f"/api/workflows/{workflow}/publish")).raise_for_status()
            url, wait = f"/api/workflows/{workflow}/execute", {"prefer": "wait=20"}
            (await api.post(url, json={"input": {"n": 0}}, headers=wait)).raise_for_status()
            numbers = range(SLOW_RUNS)
            slow = list(await asyncio.gather(*(hurt.deliver(path, {"number": number}) for number in numbers)))
            started = time.monotonic()
            for number in range(5):
                answer = await api.post(url, json={"input": {"n": number}}, headers=wait)
                assert (answer.status_code, answer.json()["status"]) == (200, "succeeded"), answer.text
        assert time.monotonic() - started < 20
        running = dict(hurt.rows("select id::text, status from executions where id = any(%s::uuid[])", slow))
        assert "failed" not in running.values()  # they still wait for the host
        for execution_id in slow:
            (await hurt.api.post(f"/api/executions/{execution_id}/cancel")).raise_for_status()


@pytest.mark.slow
async def test_key_is_let_in_as_soon_as_the_store_answers_again(hurt: Hurt) -> None:
    """While nobody can say, its holder gets a 500, which is not kept as a denial would be for a minute."""
    other = hurt.stack.new_tenant("new")
    headers = {"authorization": f"Bearer {other.api_key}"}
    async with httpx.AsyncClient(base_url=hurt.stack.api_url, headers=headers, timeout=60) as api:
        assert hurt.stack.gateway is not None
        with frozen(hurt.stack.gateway):
            assert (await api.get("/api/workflows")).status_code == 500
        assert (await api.get("/api/workflows")).status_code == 200
