"""Verifies a run: its stored events are those that were recorded (hash chain), and they follow from its inputs."""

from __future__ import annotations

from collections.abc import Sequence

from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.engine.verify.verification import Difference, first_difference
from shared.errors import InvalidGraphError, NotFoundError
from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject
from shared.queries.executions.queued_delivery import Peek, queued_delivery
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.payload import MISSING, is_content
from shared.repositories.workflows import WorkflowRepository


async def verify_execution(
    events: EventStoreRepository,
    workflows: WorkflowRepository,
    evaluator: ExpressionEvaluator,
    peek: Peek,
    tenant_id: str,
    execution_id: str,
) -> JsonObject:
    """`{valid, events_checked, first_difference}`: `valid` where the hash chain is intact and every fact derives.

    `first_difference` is `Difference.as_json`, or null; of an event that is missing it has the version and the reason.
    A delivery that was accepted and not yet begun has nothing to check. Raises `NotFoundError`, and `UnavailableError`
    where an expression takes too long on this machine.
    """
    recorded = await events.read_all(tenant_id, execution_id)
    # Read after the events, so that it covers all of them.
    chain = await events.verify_stream(tenant_id, execution_id)
    link = chain.get("first_difference")
    # A run without any event is unknown, unless its row counts some: then they were deleted.
    if not recorded and link is None and await queued_delivery(peek, tenant_id, execution_id) is None:
        raise NotFoundError("There is no such execution.")
    broken = _first_broken(recorded, link)
    # Events behind a broken link may be anything: only those before it are derived again.
    sound = [event for event in recorded if broken is None or event.stream_version < broken]
    difference = await first_difference(sound, await _program(workflows, tenant_id, sound), evaluator)
    if difference is None and len(sound) < len(recorded):
        difference = Difference(recorded[len(sound)], None, _why_broken(recorded[len(sound)]))
    if difference is not None:
        return _answer(difference.event.stream_version, difference.as_json())
    if broken is not None:
        return _answer(len(recorded), _missing(broken))
    return _answer(len(recorded), None)


def _answer(events_checked: int, difference: JsonObject | None) -> JsonObject:
    return {"valid": difference is None, "events_checked": events_checked, "first_difference": difference}


def _missing(version: int) -> JsonObject:
    """What is answered of an event that is not there, in the form of `Difference.as_json`."""
    reason = "This event and all after it are missing: the execution's row counts more than its stream holds."
    unknown = dict.fromkeys(("sequence_number", "event_type", "node_id", "expected", "recorded"))
    return {**unknown, "stream_version": version, "reason": reason}


def _why_broken(event: RecordedEvent) -> str:
    if MISSING in event.payload:
        return "The content of the event was deleted after it was recorded: only its hash is left."
    return "The event, or the number of events before it, was changed after it was recorded: its hash does not fit."


def _first_broken(events: Sequence[RecordedEvent], link: int | None) -> int | None:
    """The first stream version at which the chain breaks: at `link`, or at a payload stored by its hash whose content
    no longer has that hash."""
    changed = (
        event.stream_version
        for event in events
        if event.payload_sha256 is not None and not is_content(event.payload, event.payload_sha256)
    )
    broken = [version for version in (link, next(changed, None)) if version is not None]
    return min(broken, default=None)


async def _program(
    workflows: WorkflowRepository, tenant_id: str, events: Sequence[RecordedEvent]
) -> CompiledWorkflow | None:
    """The compiled version on which the run was started; `None` where it never started, or its graph cannot run."""
    started = next((event.payload for event in events if event.event_type == "ExecutionStarted"), None)
    pinned = started or (events[0].payload if events else {})
    if pinned.get("workflow_version") is None:
        return None
    row = await workflows.version(tenant_id, events[0].payload["workflow_id"], pinned["workflow_version"])
    try:
        return CompiledWorkflow.from_row(row) if row else None
    except InvalidGraphError:
        return None
