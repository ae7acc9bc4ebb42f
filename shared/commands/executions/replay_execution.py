"""Start a new run from the trigger of another one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictInt

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.executions.loading import known_run
from shared.commands.executions.new_run import NewRun
from shared.commands.executions.workflow_version import chosen_version, version_graph
from shared.commands.new_events import new_events, now
from shared.commands.workflows.loading import load
from shared.domain.actor import Actor
from shared.errors import Problem, UnprocessableError
from shared.events.execution import ExecutionQueued
from shared.json_types import JsonObject
from shared.nodes.graph_shape import trigger_for


class ReplayExecution(Command):
    """On which version the run is replayed, with which input, and whether only as a dry run."""

    mode: Literal["live", "dry_run"] = Field(
        description="`live`: a new run. `dry_run`: nothing is stored or sent; the response is a comparison."
    )
    version: Literal["published", "draft"] | StrictInt = Field(
        "published", description="The published version, the draft, or a version's number."
    )
    input: object = Field(None, description="Another `$trigger.body`: any JSON, null too; unset, the recorded one.")

    def trigger(self, recorded: JsonObject) -> JsonObject:
        """The trigger of the replay: the recorded one, with another body where one is given."""
        return {**recorded, "body": self.input} if "input" in self.model_fields_set else recorded


async def replay_execution(
    services: Services, actor: Actor, execution_id: str, command: ReplayExecution, idempotency_key: str | None = None
) -> str:
    """The id of the new run, or of the one that was started under this key before; the mode is `live`.

    Raises `NotFoundError`, `NotPublishedError`, `InvalidGraphError` for an invalid draft, `IdempotencyConflictError`,
    and `UnprocessableError` where the version has no such trigger.
    """
    input_given = [command.input] if "input" in command.model_fields_set else None
    run = NewRun.asked(actor, "replay", execution_id, [command.version, input_given], idempotency_key)
    # Before the version is chosen, which may be another one by now, or none: a repetition gets its run.
    if await run.has_begun(services, actor):
        return run.execution_id
    # The first event is enough: it has the workflow and the trigger.
    first = await services.events.read_stream(actor.tenant_id, execution_id, limit=1)
    state = await known_run(services, actor, execution_id, first)
    workflow = await load(services, actor, state.workflow_id)
    version = await chosen_version(services, workflow, command.version)
    number, trigger = version["version"], command.trigger(state.trigger)
    if trigger_for(version_graph(version), trigger) is None:
        raise no_trigger(number)
    fact = ExecutionQueued(workflow.id, number, trigger, replayed_from=execution_id)
    await run.begin(services, actor, new_events(actor, now(), fact))
    return run.execution_id


def no_trigger(version: int) -> UnprocessableError:
    """The error of a version without the trigger that started the run."""
    message = f"Version {version} has no trigger for what started the execution."
    return UnprocessableError(message, problems=(Problem("/version", message, "Choose another version."),))
