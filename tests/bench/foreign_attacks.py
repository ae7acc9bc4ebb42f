"""Attacks from beside the API: other clients of the queue, and the death of a drain."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bullmq import FlowProducer, Queue
from redis.asyncio import Redis

from shared.ids import new_id
from shared.json_types import JsonObject
from shared.queue.job import JOB_NAME
from shared.settings import Settings
from tests.bench.attacker import Attacker, host, node
from tests.bench.payload_attacks import TRIGGER


async def foreign_flow(attacker: Attacker) -> str:
    """A parent that BullMQ fails with its child: no drain can acknowledge it as it does others."""
    workflow = await attacker.publish(TRIGGER, node("end", "transform", {"value": 1}))
    settings, options = _queue(attacker)
    child = {"name": "nonsense", "queueName": settings.queue_name, "data": {}, "opts": {"failParentOnFailure": True}}
    run = new_id()
    parent = {
        "name": JOB_NAME,
        "queueName": settings.queue_name,
        "data": {"tenant_id": attacker.tenant_id, "workflow_id": workflow},
        "opts": {"jobId": run},
        "children": [child],
    }
    producer = FlowProducer(opts=options)
    attacker.begin()
    await producer.add(parent)
    outcome = await attacker.ended([run])
    await producer.close()
    return f"{outcome}; {await _left(attacker)}"


async def malformed_jobs(attacker: Attacker, rounds: int = 20) -> str:
    """Jobs with the queue's name and invalid content."""
    settings, options = _queue(attacker)
    queue = Queue(settings.queue_name, options)
    attacker.begin()
    for _ in range(rounds):
        await queue.addBulk([{"name": JOB_NAME, **_nonsense(attacker.tenant_id, kind)} for kind in range(6)])
        await asyncio.sleep(min(0.25, max(0.0, attacker.remaining_seconds)))
    await asyncio.sleep(max(0.0, attacker.remaining_seconds))
    await queue.close()
    return f"{6 * rounds} jobs; {await _left(attacker)}"


def _nonsense(tenant_id: str, kind: int) -> JsonObject:
    run = new_id()
    ours: JsonObject = {"tenant_id": tenant_id, "execution_id": run}
    data: Any = (
        {**ours, "kind": "start", "start": {}},
        {**ours, "kind": "delivery", "delivery": {}},
        {**ours, "kind": "resume"},
        {"tenant_id": new_id(), "workflow_id": new_id()},
        {"tenant_id": 7, "kind": ["start"]},
        "a text",
    )[kind]
    return {"data": data, "opts": {"jobId": run, "attempts": 3}}


async def killed_drain(attacker: Attacker, runs: int = 32) -> str:
    """kill -9 of a drain with effects of five seconds under way."""
    async with host("content-type: application/json", b"{}", 5) as url:
        call = node("call", "http_request", {"url": url}, timeout_seconds=30)
        workflow = await attacker.publish(TRIGGER, call)
        attacker.begin()
        started = await attacker.execute_many(workflow, runs)
        await asyncio.sleep(min(2.0, attacker.seconds / 4))
        functions = (
            await attacker.api.get(f"{attacker.environment['AWS_ENDPOINT_URL_LAMBDA']}/_local/functions")
        ).json()
        busy = [worker["pid"] for worker in functions["local-drain"] if worker["busy"]]
        for pid in busy[:1]:
            os.kill(pid, signal.SIGKILL)
        return f"{len(busy[:1])} of {len(busy)} drains killed; " + await attacker.ended(started)


def _queue(attacker: Attacker) -> tuple[Settings, JsonObject]:
    """The settings, and what BullMQ's classes want to know."""
    settings = Settings.from_environment(attacker.environment)
    connection = {"host": settings.redis_host, "port": settings.redis_port}
    return settings, {"prefix": settings.queue_prefix, "connection": connection}


async def _left(attacker: Attacker) -> str:
    """How many jobs are in the queue's states."""
    settings, _ = _queue(attacker)
    base = f"{settings.queue_prefix}:{settings.queue_name}"
    async with _redis(settings) as client:
        waiting, active = await client.llen(f"{base}:wait"), await client.llen(f"{base}:active")
        failed = await client.zcard(f"{base}:failed")
    return f"in the queue: {waiting} waiting, {active} active, {failed} failed"


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[Redis]:
    client = Redis(host=settings.redis_host, port=settings.redis_port)
    try:
        yield client
    finally:
        await client.aclose()
