"""One delivery in many copies, while Redis forgets that it was there and drains die."""

from __future__ import annotations

import asyncio
import hashlib
import hmac

import httpx
import pytest
import redis

from tests.faults.conftest import SECRET, Hurt

COPIES = 50


@pytest.mark.slow
async def test_copies_are_one_run_across_drains_and_a_flush(hurt: Hurt) -> None:
    """Fifty at once, fifty more after Redis lost everything and the drain was killed, and fifty after the run's end."""
    hurt.sink.pause_seconds = 0.5
    call = {"type": "http_request", "timeout_seconds": 5, "parameters": {"url": f"{hurt.sink.url}/once"}}
    path = await hurt.hook([{"id": "call", **call}], [("hook", "call")])
    before = len(hurt.sink.received)
    raw = b'{"number": 1}'
    headers = {"content-type": "application/json"}
    headers["x-signature"] = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()

    async def copies() -> list[httpx.Response]:
        posts = (hurt.api.post(path, content=raw, headers=headers) for _ in range(COPIES))
        return list(await asyncio.gather(*posts))

    answers = await copies()
    assert sorted(answer.status_code for answer in answers) == [200] * (COPIES - 1) + [202]
    await hurt.sink.received_at_least(before + 1)
    settings = hurt.stack.environment
    with redis.Redis(settings["REDIS_HOST"], int(settings["REDIS_PORT"])) as client:
        client.flushall()
    hurt.kill_drains()
    answers += await copies()
    (execution_id,) = {answer.json()["execution_id"] for answer in answers}
    assert await asyncio.to_thread(hurt.wait_until_finished, [execution_id], 60) == {execution_id: "succeeded"}
    answers = await copies()
    assert {answer.json()["execution_id"] for answer in answers} == {execution_id}
    await asyncio.sleep(1.0)
    kinds = hurt.rows("select event_type, count(*) from event_store where stream_id = %s group by 1", execution_id)
    assert {kind: count for kind, count in kinds if count > 1} == {}
    assert hurt.rows("select count(*) from executions where webhook_id = %s", path.split("/")[2]) == [(1,)]
    # The one that was under way when its drain was killed is sent once more, under the same key.
    assert len({request.key for request in hurt.sink.received[before:]}) == 1
