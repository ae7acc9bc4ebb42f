"""Appends the facts of a command on a workflow, with the rows of its read models."""

from __future__ import annotations

from collections.abc import Sequence

from shared.bootstrap import Services
from shared.commands.new_events import new_events, now
from shared.domain.actor import Actor
from shared.domain.workflow.fold import apply
from shared.domain.workflow.schedule_rows import schedule_rows
from shared.domain.workflow.state import Workflow, WorkflowVersionRow, row, version_row
from shared.events.workflow import WorkflowFact
from shared.json_types import JsonObject
from shared.repositories.append import Append


async def append(
    services: Services, actor: Actor, before: Workflow | None, workflow_id: str, facts: Sequence[WorkflowFact]
) -> Workflow:
    """The workflow after the facts, which are stored with its rows; a concurrent change: `StreamConflictError`."""
    happened_at = now()
    after = before
    for fact in facts:
        after = apply(after, fact, actor.tenant_id, workflow_id, happened_at)
    assert after is not None, "at least one fact"
    await services.events.append_one(
        Append(
            tenant_id=actor.tenant_id,
            stream_id=workflow_id,
            stream_type="workflow",
            expected_version=before.stream_version if before else 0,
            events=new_events(actor, happened_at, *facts),
            row=row(after) | _schedules(before, after, happened_at),
            versions=_versions(before, after, happened_at),
        )
    )
    return after


def _schedules(before: Workflow | None, after: Workflow, happened_at: str) -> JsonObject:
    """The new schedules, where the published version changes."""
    if after.published_version == (before and before.published_version):
        return {}
    return {"schedules": schedule_rows(after, happened_at) if after.published_version is not None else []}


def _versions(before: Workflow | None, after: Workflow, happened_at: str) -> tuple[WorkflowVersionRow, ...]:
    """A version row for a new draft, or for the draft that is published now."""
    # A draft that is published now has its row already: it is written again with `published_at`.
    published = after.published_version == after.version and (
        before is None or before.published_version != after.published_version
    )
    if published:
        return (version_row(after, happened_at),)
    if before is None or before.version != after.version:
        return (version_row(after),)
    return ()
