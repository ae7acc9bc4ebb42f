"""Runs and deliveries for the tests, put where intake and the drain put them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from shared.bootstrap import Services
from shared.commands.new_events import new_events, now
from shared.domain.actor import Actor
from shared.domain.execution.fold import apply, fold
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.events.facts import ExecutionFact
from shared.ids import new_id
from shared.platform.runtime import run
from shared.queue.job import ExecutionJob
from shared.repositories.append import Append


def happen(wired: Services, tenant_id: str, execution_id: str, *facts: ExecutionFact) -> ExecutionState:
    """The run after more facts, appended as a drain does."""
    return run(append(wired, tenant_id, execution_id, *facts))


async def append(wired: Services, tenant_id: str, execution_id: str, *facts: ExecutionFact) -> ExecutionState:
    """The same, for those who are on the loop."""
    happened_at = now()
    state = fold(await wired.events.read_all(tenant_id, execution_id)) or ExecutionState(execution_id, tenant_id)
    version = state.stream_version
    for fact in facts:
        apply(state, fact, happened_at)
    await wired.events.append_one(
        Append(
            tenant_id=tenant_id,
            stream_id=execution_id,
            stream_type="execution",
            expected_version=version,
            events=new_events(Actor(tenant_id, "drain:test", "editor"), happened_at, *facts),
            row=row(state),
        )
    )
    return state


def deliver(wired: Services, tenant_id: str, workflow_id: str, body: Any) -> str:
    """The id of the run of a delivery that intake has accepted and no drain has seen."""
    execution_id, raw = new_id(), json.dumps(body)
    delivery = {
        "workflow_id": workflow_id,
        "node_id": "hook",
        "webhook_id": new_id(),
        "provider": "github",
        "delivery_id": new_id(),
        "delivery_key": "72d3162e",
        "event_type": "push",
        "received_at": now(),
        "method": "POST",
        "headers": {"content-type": "application/json"},
        "query": {},
        "body": raw,
        "body_encoding": "utf8",
        "body_sha256": hashlib.sha256(raw.encode()).hexdigest(),
        "size_bytes": len(raw),
        "content_type": "application/json",
    }
    run(wired.producer.enqueue([ExecutionJob(tenant_id, execution_id, "delivery", delivery)]))
    return execution_id
