"""Stop a run."""

from __future__ import annotations

from pydantic import Field

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.enqueue_resume import enqueue_resume
from shared.commands.executions.loading import begun_delivery
from shared.commands.new_events import new_events, now
from shared.commands.optimistic_retry import retry_on_conflict
from shared.domain.actor import Actor
from shared.domain.execution.fold import apply, fold
from shared.domain.execution.state import ExecutionState
from shared.errors import ExecutionFinishedError
from shared.events.execution import ExecutionCancelled
from shared.observability import emit
from shared.repositories.run_append import run_append

CANCELLED = {"RunsCancelled": 1.0}


class CancelExecution(Command):
    """Why the run is cancelled; the reason is in its history."""

    reason: str | None = Field(None, max_length=1000)


async def cancel_execution(
    services: Services, actor: Actor, execution_id: str, command: CancelExecution
) -> ExecutionState:
    """The cancelled run; one that was cancelled before stays as it is.

    No further node starts: the next append of the drain that runs it conflicts. All its child runs are cancelled too;
    where that was interrupted, repeating the request completes it. Raises `NotFoundError`, and
    `ExecutionFinishedError` for a run that has succeeded or failed.
    """

    async def attempt() -> ExecutionState:
        state = fold(await services.events.read_all(actor.tenant_id, execution_id))
        if state is None:
            return await _cancel_queued(services, actor, execution_id, command)
        if state.status == "cancelled":
            return state
        if state.is_terminal:
            raise ExecutionFinishedError(f"The execution has {state.status} and can no longer change.")
        fact, happened_at = ExecutionCancelled(command.reason), now()
        apply(state, fact, happened_at)
        await services.events.append_one(run_append(state, new_events(actor, happened_at, fact)))
        emit(CANCELLED, service="executions")
        return state

    # After the run itself, so that it calls no further ones. Also for a run that was cancelled before: the request may
    # have been interrupted here.
    state = await retry_on_conflict(attempt)
    if state.has_called:
        reason = f"The execution {execution_id}, which called this one, was cancelled."
        await services.events.cancel_called(actor.tenant_id, execution_id, reason, actor.name, now(), itself=False)
    # The parent waits for this run's end, and goes on now.
    if state.awaiting_id is not None:
        await enqueue_resume(services, actor.tenant_id, state.awaiting_id, signalled=True)
    return state


async def _cancel_queued(
    services: Services, actor: Actor, execution_id: str, command: CancelExecution
) -> ExecutionState:
    """Cancels the run of an accepted delivery that no drain has started, and that is in Redis alone: stores its first
    and its last event together. The drain that claims its job later finds the run ended.
    """
    state, begun, entry = await begun_delivery(services, actor, execution_id)
    fact, happened_at = ExecutionCancelled(command.reason), now()
    apply(state, fact, happened_at)
    events = [*begun, *new_events(actor, happened_at, fact)]
    await services.events.append_one(run_append(state, events, deliveries=(entry,)))
    emit(CANCELLED, service="executions")
    return state
