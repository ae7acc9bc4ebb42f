"""Start a run by hand."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictInt

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.executions.new_run import NewRun
from shared.commands.executions.workflow_version import chosen_version
from shared.commands.new_events import new_events, now
from shared.commands.workflows.loading import load
from shared.domain.actor import Actor
from shared.domain.workflow.state import WorkflowVersionRow
from shared.errors import UnprocessableError
from shared.events.execution import ExecutionQueued, trigger_of
from shared.json_types import JsonObject


class ExecuteWorkflow(Command):
    """A run to start; its input becomes `$trigger.body`."""

    input: object = Field(None, description="Any JSON; in the run, `$trigger.body`.")
    version: Literal["published", "draft"] | StrictInt = Field(
        "published", description="The published version, the draft, or a version's number."
    )

    @property
    def asked(self) -> list[object]:
        """The parts by which two requests under one idempotency key are the same."""
        return [self.version, self.input]


async def execute_workflow(
    services: Services,
    actor: Actor,
    workflow_id: str,
    command: ExecuteWorkflow,
    idempotency_key: str | None = None,
    client_is_waiting: bool = False,
) -> str:
    """The id of the new run, or of the one that was started under this key before. `client_is_waiting`: the caller will
    wait for its reply.

    Raises `NotFoundError`, `NotPublishedError`, `InvalidGraphError` for an invalid draft, `UnprocessableError` for an
    input that does not fit the trigger's schema, or is too large to be validated (`LimitExceededError`), and
    `IdempotencyConflictError` when the key was used for another request.
    """
    workflow = await load(services, actor, workflow_id)
    run = NewRun.asked(actor, "execute", workflow_id, command.asked, idempotency_key)
    # Before the version is chosen: a repetition gets its run although the workflow was unpublished or archived since,
    # or has another version.
    if await run.has_begun(services, actor):
        return run.execution_id
    version = await chosen_version(services, workflow, command.version)
    _check_input(version, command.input)
    fact = ExecutionQueued(
        workflow_id=workflow_id,
        workflow_version=version["version"],
        trigger=trigger_of("manual", command.input),
    )
    await run.begin(services, actor, new_events(actor, now(), fact), client_is_waiting)
    return run.execution_id


def _check_input(version: WorkflowVersionRow, value: object) -> None:
    """Raises `UnprocessableError` for an input that does not fit the schema of the first `manual_trigger`."""
    trigger: JsonObject = next((node for node in version["nodes"] if node["type"] == "manual_trigger"), {})
    schema = (trigger.get("parameters") or {}).get("input_schema")
    if schema is None:
        return
    from shared.domain.json.check_budget import MAX_REQUEST_STEPS, CheckBudget
    from shared.domain.json.schema_validator import mismatches  # most workflows have no schema

    if problems := tuple(mismatches(schema, value, "input", steps=CheckBudget(MAX_REQUEST_STEPS))):
        raise UnprocessableError("The input is not what the workflow wants.", problems=problems)
