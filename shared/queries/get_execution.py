"""How is this run doing, or how was it at some point?"""

from __future__ import annotations

from typing import Any

from shared.domain.delivery import DeliveryRecord, queued
from shared.domain.execution import ExecutionState
from shared.domain.execution_fold import apply, fold
from shared.domain.execution_view import node_view, view
from shared.domain.json_values import size_bytes
from shared.domain.node_record import NodeRecord
from shared.errors import NotFoundError
from shared.queries._sizes import MAX_ANSWER_BYTES
from shared.queries.queued_delivery import Peek, queued_delivery
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.workflows import WorkflowRepository

# Above this size, outputs are left out of an answer that would not fit.
LARGE_OUTPUT_BYTES = 65_536


async def get_execution(
    events: EventStoreRepository,
    workflows: WorkflowRepository,
    peek: Peek,
    tenant_id: str,
    execution_id: str,
    at: int | None = None,
) -> dict[str, Any]:
    """The run as its events up to sequence number `at` (unset: all) leave it, with every node of its graph.

    A delivery that was accepted and not yet begun is `queued`. Raises `NotFoundError` for another tenant's run, and
    where `at` lies before the first event.
    """
    recorded = await events.read_all(tenant_id, execution_id)
    if not recorded:
        delivery = await queued_delivery(peek, tenant_id, execution_id)
        if delivery is not None:
            return _fitted(_described(_queued(tenant_id, execution_id, delivery), []))
        # Between the two looks a drain may have begun the run, and even ended it.
        recorded = await events.read_all(tenant_id, execution_id)
    state = fold(event for event in recorded if at is None or event.sequence_number <= at)
    if state is None:
        raise NotFoundError("It had not begun at that point." if recorded else "There is no such execution.")
    version = state.workflow_version
    row = await workflows.version(tenant_id, state.workflow_id, version) if version is not None else None
    return _fitted(_described(state, [node["id"] for node in row["nodes"]] if row else []))


def _described(state: ExecutionState, node_ids: list[str]) -> dict[str, Any]:
    found = view(state)
    untouched = node_view(NodeRecord("cancelled" if state.status == "cancelled" else "pending"))
    found["nodes"] = {node_id: dict(untouched) for node_id in node_ids} | found["nodes"]
    return found


def _queued(tenant_id: str, execution_id: str, delivery: DeliveryRecord) -> ExecutionState:
    """The run as its first event will leave it."""
    state = ExecutionState(execution_id, tenant_id)
    apply(state, queued(delivery), delivery["received_at"])
    return state


def _fitted(execution: dict[str, Any]) -> dict[str, Any]:
    """The answer without its large outputs where it would be too large; each is whole in the run's events."""
    if size_bytes(execution) <= MAX_ANSWER_BYTES:
        return execution
    for part in (execution, *execution["nodes"].values()):
        if "output" in part and size_bytes(part["output"]) > LARGE_OUTPUT_BYTES:
            part["output"], part["output_omitted"] = None, True
    response = execution.get("response")
    if response is not None and size_bytes(response) > LARGE_OUTPUT_BYTES:
        execution["response"] = {**response, "body": None, "body_omitted": True}
    trigger = execution["trigger"]
    if size_bytes(trigger) > LARGE_OUTPUT_BYTES:
        execution["trigger"] = {**trigger, "body": None, "body_omitted": True}
    return execution
