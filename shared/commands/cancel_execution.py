"""Stop a run."""

from __future__ import annotations

from pydantic import Field

from shared.commands.change import repeated_on_conflict
from shared.commands.model import Command
from shared.commands.record import now, record
from shared.commands.services import Services
from shared.domain.actor import Actor
from shared.domain.execution import ExecutionState, fold, row
from shared.errors import ExecutionFinishedError, NotFoundError
from shared.events.execution import ExecutionCancelled
from shared.repositories.event_store import Append


class CancelExecution(Command):
    """Why the run is stopped, for those who read its history."""

    reason: str | None = Field(None, max_length=1000)


async def cancel_execution(
    services: Services, actor: Actor, execution_id: str, command: CancelExecution
) -> ExecutionState:
    """The cancelled run; one that was cancelled before stays as it was.

    No further node starts: the drain that runs it finds its next append refused. Raises `NotFoundError`, and
    `ExecutionFinishedError` for a run that has succeeded or failed.
    """

    async def attempt() -> ExecutionState:
        state = fold(await services.events.read_all(actor.tenant_id, execution_id))
        if state is None:
            raise NotFoundError("There is no such execution.")
        if state.status == "cancelled":
            return state
        if state.is_terminal:
            raise ExecutionFinishedError(f"The execution has {state.status} and can no longer change.")
        fact, happened_at, version = ExecutionCancelled(command.reason), now(), state.stream_version
        state.apply(fact, happened_at)
        await services.events.append_one(
            Append(
                tenant_id=actor.tenant_id,
                stream_id=execution_id,
                stream_type="execution",
                expected_version=version,
                events=record(actor, happened_at, fact),
                row=row(state),
            )
        )
        return state

    return await repeated_on_conflict(attempt)
