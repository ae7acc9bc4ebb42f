"""kill -9 of the drain in the middle of two hundred runs."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from tests.faults.conftest import Hurt

RUNS = 200


@pytest.mark.slow
async def test_killed_drain_loses_nothing_and_repeats_only_what_was_under_way(hurt: Hurt) -> None:
    """Every run ends; no node is settled twice; no request is sent again after its node's end was durable, and a
    request that is sent again carries the same key."""
    hurt.sink.pause_seconds = 0.05
    call = {"type": "http_request", "timeout_seconds": 5}
    path = await hurt.hook(
        [
            {"id": "one", **call, "parameters": {"method": "POST", "url": hurt.sink.url + "/one"}},
            {"id": "between", "type": "transform", "parameters": {"value": "{% $trigger.body.number %}"}},
            {
                "id": "two",
                **call,
                "parameters": {"method": "POST", "url": hurt.sink.url + "/two", "body": "{% $input %}"},
            },
        ],
        [("hook", "one"), ("one", "between"), ("between", "two")],
    )
    sending = asyncio.gather(*(hurt.deliver(path, {"number": number}) for number in range(RUNS)))
    killed = 0
    for count in (60, 200):
        await hurt.sink.received_at_least(count)
        killed += hurt.kill_drains()
    execution_ids = await sending
    statuses = await asyncio.to_thread(hurt.wait_until_finished, execution_ids, 90)
    assert killed >= 2
    assert set(statuses.values()) == {"succeeded"}
    assert len(set(execution_ids)) == RUNS

    settled = hurt.rows(
        "select stream_id::text, payload ->> 'node_id', extract(epoch from created_at)::float8, count(*) over "
        "(partition by stream_id, payload ->> 'node_id') from event_store where event_type = 'NodeSucceeded' "
        "and stream_id = any(%s::uuid[])",
        execution_ids,
    )
    assert len(settled) == 3 * RUNS
    assert {count for *_, count in settled} == {1}
    started = hurt.rows(
        "select payload ->> 'idempotency_key', stream_id::text, payload ->> 'node_id' from event_store "
        "where event_type = 'NodeStarted' and stream_id = any(%s::uuid[])",
        execution_ids,
    )
    node_of = {key: (stream_id, node_id) for key, stream_id, node_id in started}
    ended_at = {(stream_id, node_id): moment for stream_id, node_id, moment, _ in settled}
    by_key = defaultdict(list)
    for request in hurt.sink.received:
        by_key[request.key].append(request)
    assert set(by_key) == set(node_of)
    for key, requests in by_key.items():
        assert len({request.body for request in requests}) == 1
        assert max(request.arrived_at for request in requests) < ended_at[node_of[key]]
    # Two drains' worth of requests at most were under way when they were killed.
    assert len(hurt.sink.received) <= 2 * RUNS + 64 * killed
