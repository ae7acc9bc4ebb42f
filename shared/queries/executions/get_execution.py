"""One run: its present state, or its state at an earlier point."""

from __future__ import annotations

from shared.domain.execution.fold import apply, fold
from shared.domain.execution.node_record import NodeRecord
from shared.domain.execution.state import ExecutionState
from shared.domain.execution.view import node_view, view
from shared.domain.webhook.delivery import DeliveryRecord, queued
from shared.errors import NotFoundError
from shared.json_types import JsonObject
from shared.queries.executions.queued_delivery import Peek, queued_delivery
from shared.queries.response_size import MAX_ANSWER_BYTES, answer_bytes, omit_largest
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.workflows import WorkflowRepository

# To how many characters nodes' error messages are cut in a response that is too large even without outputs.
SHORT_MESSAGE_CHARACTERS = 200


async def get_execution(
    events: EventStoreRepository,
    workflows: WorkflowRepository,
    peek: Peek,
    tenant_id: str,
    execution_id: str,
    at: int | None = None,
) -> JsonObject:
    """The run after its events up to sequence number `at` (unset: all), with every node of its graph.

    A delivery that was accepted and not yet started is `queued`. Raises `NotFoundError`, also where `at` is before the
    first event.
    """
    recorded = await events.read_all(tenant_id, execution_id)
    if not recorded:
        delivery = await queued_delivery(peek, tenant_id, execution_id)
        if delivery is not None:
            return _fitted(_described(_queued(tenant_id, execution_id, delivery), []))
        # Between the two reads a drain may have started the run, and even ended it.
        recorded = await events.read_all(tenant_id, execution_id)
    state = fold(event for event in recorded if at is None or event.sequence_number <= at)
    if state is None:
        raise NotFoundError("It had not begun at that point." if recorded else "There is no such execution.")
    version = state.workflow_version
    row = await workflows.version(tenant_id, state.workflow_id, version) if version is not None else None
    return _fitted(_described(state, [node["id"] for node in row["nodes"]] if row else []))


def _described(state: ExecutionState, node_ids: list[str]) -> JsonObject:
    shown = view(state)
    # Nodes without facts are pending, unless the run ended before they were reached.
    untouched = node_view(NodeRecord("cancelled" if state.status == "cancelled" else "pending"))
    shown["nodes"] = {node_id: dict(untouched) for node_id in node_ids} | shown["nodes"]
    return shown


def _queued(tenant_id: str, execution_id: str, delivery: DeliveryRecord) -> ExecutionState:
    """The run as it will be after its first event."""
    state = ExecutionState(execution_id, tenant_id)
    apply(state, queued(delivery), delivery["received_at"])
    return state


def _fitted(execution: JsonObject) -> JsonObject:
    """The run, without its largest values where it is too large; those are in its events."""
    if answer_bytes(execution) <= MAX_ANSWER_BYTES:
        return execution
    bodies = []
    for name in ("trigger", "response"):
        if execution.get(name) is not None:
            execution[name] = dict(execution[name])
            bodies.append((execution[name], "body"))
    outputs = [(part, "output") for part in (execution, *execution["nodes"].values())]
    if not omit_largest(execution, [(part, name) for part, name in (*bodies, *outputs) if name in part]):
        for node in execution["nodes"].values():
            if "error" in node:
                node["error"] = {**node["error"], "message": node["error"]["message"][:SHORT_MESSAGE_CHARACTERS]}
                node["error"].pop("details", None)
    return execution
