"""Start a run by hand."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, StrictInt

from shared.commands._hint import hint
from shared.commands._workflow_changes import load
from shared.commands.model import Command
from shared.commands.record import now, record
from shared.commands.services import Services
from shared.domain.actor import Actor
from shared.domain.execution import ExecutionState
from shared.domain.execution_row import row
from shared.domain.graph import parse_graph
from shared.domain.workflow import Workflow
from shared.errors import (
    IdempotencyConflictError,
    InvalidGraphError,
    NotPublishedError,
    Problem,
    StreamConflictError,
    UnprocessableError,
)
from shared.events.execution import ExecutionQueued
from shared.ids import derived_id, new_id
from shared.nodes.validation import validate_graph
from shared.repositories.event_store import Append


class ExecuteWorkflow(Command):
    """A run to be started: its input becomes `$trigger.body`."""

    input: Any = Field(None, description="Any JSON; in the run, `$trigger.body`.")
    version: Literal["published", "draft"] | StrictInt = Field(
        "published", description="The published version, the draft, or a version's number."
    )

    def fingerprint(self, workflow_id: str) -> str:
        """What makes two requests the same one, as SHA-256."""
        asked = json.dumps([workflow_id, self.version, self.input], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


async def execute_workflow(
    services: Services,
    actor: Actor,
    workflow_id: str,
    command: ExecuteWorkflow,
    idempotency_key: str | None = None,
    awaited: bool = False,
) -> str:
    """The id of the run that was started, or of the one that this key has started before. `awaited`: the caller is
    going to wait for its answer.

    Raises `NotFoundError`, `NotPublishedError`, `InvalidGraphError` for a draft that cannot run, and
    `IdempotencyConflictError` when the key was used for another request.
    """
    workflow = await load(services, actor, workflow_id)
    fingerprint = command.fingerprint(workflow_id)
    execution_id = new_id()
    if idempotency_key is not None:
        execution_id = derived_id("execute", actor.tenant_id, workflow_id, idempotency_key)
        if await _started_before(services, actor, execution_id, fingerprint):
            return execution_id
    fact = ExecutionQueued(
        workflow_id=workflow_id,
        workflow_version=await _version(services, workflow, command.version),
        trigger={"type": "manual", "body": command.input, "headers": {}, "query": {}, "method": "POST"},
    )
    try:
        await services.events.append_one(_append(actor, execution_id, fact, fingerprint))
    except StreamConflictError:
        # Another request with this key was faster; without a key, the id is new and cannot be taken.
        await _started_before(services, actor, execution_id, fingerprint)
        return execution_id
    await hint(services, actor.tenant_id, execution_id, awaited=awaited)
    return execution_id


def _append(actor: Actor, execution_id: str, fact: ExecutionQueued, fingerprint: str) -> Append:
    """The run as due at once: should the hint below be lost, the drain's sweep finds it."""
    happened_at = now()
    (event,) = record(actor, happened_at, fact)
    state = ExecutionState(execution_id, actor.tenant_id)
    state.apply(fact, happened_at)
    return Append(
        tenant_id=actor.tenant_id,
        stream_id=execution_id,
        stream_type="execution",
        expected_version=0,
        events=(replace(event, metadata={**event.metadata, "request_sha256": fingerprint}),),
        row=row(state, wake_at=happened_at),
    )


async def _started_before(services: Services, actor: Actor, execution_id: str, fingerprint: str) -> bool:
    first = await services.events.read_stream(actor.tenant_id, execution_id, limit=1)
    if first and first[0].metadata.get("request_sha256") != fingerprint:
        raise IdempotencyConflictError
    return bool(first)


async def _version(services: Services, workflow: Workflow, asked: str | int) -> int:
    """The version to pin the run to; one that was never published must prove that it can run."""
    if workflow.status == "archived":
        raise NotPublishedError("The workflow is archived; it starts no more runs.")
    if asked == "published":
        if workflow.published_version is None:
            raise NotPublishedError
        return workflow.published_version
    version = workflow.version if asked == "draft" else int(asked)
    saved = await services.workflows.version(workflow.tenant_id, workflow.id, version) if 0 < version < 2**31 else None
    if saved is None:
        message = f"The workflow has no version {version}."
        raise UnprocessableError(message, problems=(Problem("/version", message),))
    if saved["published_at"] is None:
        graph, problems = parse_graph(saved["nodes"], saved["edges"])
        problems = problems or (validate_graph(graph) if graph else [])
        if problems:
            raise InvalidGraphError(problems=tuple(problems))
    return version
