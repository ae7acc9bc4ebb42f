"""Send a run a signal."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from pydantic import Field

from shared.bootstrap import Services
from shared.commands.command import Command
from shared.commands.enqueue_resume import enqueue_resume
from shared.commands.executions.loading import begun_delivery
from shared.commands.new_events import new_events, now
from shared.commands.optimistic_retry import retry_on_conflict
from shared.domain.actor import Actor
from shared.domain.execution.fold import apply, fold
from shared.domain.execution.run_budget import RunBudget
from shared.domain.execution.state import ExecutionState
from shared.domain.json.check_budget import CheckBudget
from shared.domain.json.schema_validator import mismatches
from shared.domain.json.values import size_bytes
from shared.errors import (
    ExecutionFinishedError,
    IdempotencyConflictError,
    InvalidRequestError,
    Problem,
    UnprocessableError,
)
from shared.events.envelope import NewEvent
from shared.events.execution import SignalReceived
from shared.repositories.run_append import run_append

# A run keeps every signal in its events, so that their number is limited.
MAX_SIGNALS = 1_000
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)


class SendSignal(Command):
    """The signal's payload, which becomes the waiting node's output."""

    payload: object = Field(None, description="Any JSON that fits the schema of the node that waits for it.")


async def send_signal(
    services: Services,
    actor: Actor,
    execution_id: str,
    name: str,
    command: SendSignal,
    idempotency_key: str | None = None,
) -> ExecutionState:
    """The run with its signal recorded; a repetition under the same key leaves it as it is.

    A signal that no node waits for is kept until one does. Raises `InvalidRequestError` for a malformed name,
    `NotFoundError`, `ExecutionFinishedError`, `IdempotencyConflictError`, and `UnprocessableError` for a payload that
    fits none of the nodes that wait for the name, is too large to be validated (`LimitExceededError`), or exceeds the
    number of signals of a run or its budget (`RunLimitError`).
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError("A signal's name has 1 to 100 letters, digits, dots, dashes and underscores.")
    fact = SignalReceived(name, command.payload, idempotency_key)

    async def attempt() -> ExecutionState:
        begun: tuple[NewEvent, ...] = ()
        entry = None
        state = fold(await services.events.read_all(actor.tenant_id, execution_id))
        if state is None:
            state, begun, entry = await begun_delivery(services, actor, execution_id)
        # Before the limits: the sender of a signal that was taken repeats it until it hears so, also once the run has
        # ended or takes no more.
        if _is_repeated(state, fact):
            return state
        _refuse_more(services, state, fact)
        # Which node takes it is recorded, so that a fold validates no payload.
        received = replace(fact, node_id=_receiver(state, fact))
        happened_at = now()
        apply(state, received, happened_at)
        events = [*begun, *new_events(actor, happened_at, received)]
        lines = (entry,) if entry else ()
        await services.events.append_one(run_append(state, events, await _wake_at(services, state), lines))
        return state

    state = await retry_on_conflict(attempt)
    # A run that is not waiting has a drain, which reads the signal with its next append conflict.
    if state.status == "waiting":
        await enqueue_resume(services, actor.tenant_id, execution_id, signalled=True)
    return state


def _is_repeated(state: ExecutionState, fact: SignalReceived) -> bool:
    first = state.signals.by_key.get(fact.key) if fact.key is not None else None
    if first is not None and (first.name, first.payload) != (fact.name, fact.payload):
        raise IdempotencyConflictError
    return first is not None


def _refuse_more(services: Services, state: ExecutionState, fact: SignalReceived) -> None:
    if state.is_terminal:
        raise ExecutionFinishedError(f"The execution has {state.status} and takes no more signals.")
    if state.signals.count >= MAX_SIGNALS:
        raise UnprocessableError(f"The execution has had {MAX_SIGNALS} signals, which is the limit.")
    budget = RunBudget(services.settings.run_max_facts, services.settings.run_max_bytes)
    budget.refuse(state, 1, size_bytes(fact.payload))


def _receiver(state: ExecutionState, fact: SignalReceived) -> str | None:
    """The path of the waiting node that takes the signal; `None` where all that it fits have one already, or none waits
    for it. The payload is validated once against each schema, however many nodes have it."""
    waiting = state.signals.waiting_for(fact.name)
    steps, refusals, fitting = CheckBudget(), dict[str, list[Problem]](), set[str]()
    # Nodes without a signal yet come first.
    for path in sorted(waiting, key=lambda path: (state.signals.is_due(path), path)):
        schema = (waiting[path].parameters or {}).get("schema")
        text = json.dumps(schema)
        if text not in fitting and text not in refusals:
            problems = mismatches(True if schema is None else schema, fact.payload, "payload", steps=steps)
            if problems:
                refusals[text] = problems
            else:
                fitting.add(text)
        if text in fitting:
            return None if state.signals.is_due(path) else path
    if refusals:
        problems = next(iter(refusals.values()))
        raise UnprocessableError("The payload is not what the execution waits for.", problems=tuple(problems))
    return None


async def _wake_at(services: Services, state: ExecutionState) -> str | None:
    """The present `wake_at` of a run that is not waiting: the drain that runs it has set it, and keeps it."""
    if state.status == "waiting":
        return None
    row = await services.executions.get(state.tenant_id, state.id)
    return row["wake_at"] if row else None
