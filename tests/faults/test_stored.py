"""Redis is lost, or its queue, in the moment after a 202: what was to be stored runs all the same."""

from __future__ import annotations

import asyncio

import pytest
import redis
from bullmq import Queue

from shared.settings import Settings
from tests.faults.conftest import Hurt

DELIVERIES = 30


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flushall", "obliterate"])
async def test_what_was_stored_runs_whatever_becomes_of_redis(hurt: Hurt, harm: str) -> None:
    """No delivery is sent again: those that were answered are all there, each with one run."""
    path = await hurt.hook(
        [{"id": "keep", "type": "transform", "parameters": {"value": 1}}], [("hook", "keep")], durability="stored"
    )
    sending = [asyncio.create_task(hurt.deliver(path, {"number": n, "harm": harm})) for n in range(DELIVERIES)]
    await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    for _ in range(3):
        # Whatever the drain has not begun by now is not in Redis any more.
        await asyncio.to_thread(_flush, hurt) if harm == "flushall" else await _obliterate(hurt)
        await asyncio.sleep(0.05)
    execution_ids = [await task for task in sending]
    if harm == "flushall":
        await asyncio.to_thread(_flush, hurt)
    else:
        await _obliterate(hurt)
    statuses = await asyncio.to_thread(hurt.wait_until_finished, execution_ids, 90)
    assert set(statuses.values()) == {"succeeded"}
    assert hurt.rows("select count(*) from executions where webhook_id = %s", path.split("/")[2]) == [(DELIVERIES,)]


def _flush(hurt: Hurt) -> None:
    environment = hurt.stack.environment
    with redis.Redis(environment["REDIS_HOST"], int(environment["REDIS_PORT"])) as client:
        client.flushall()


async def _obliterate(hurt: Hurt) -> None:
    settings = Settings.from_environment(hurt.stack.environment)
    connection = {"host": settings.redis_host, "port": settings.redis_port}
    queue = Queue(settings.queue_name, {"connection": connection, "prefix": settings.queue_prefix})
    try:
        await queue.obliterate(force=True)
    finally:
        await queue.close()
