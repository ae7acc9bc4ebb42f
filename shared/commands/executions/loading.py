"""Loads the run that a command is about, which may be an accepted delivery that no drain has started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.bootstrap import Services
from shared.commands.new_events import new_events
from shared.domain.actor import Actor
from shared.domain.execution.fold import apply, fold
from shared.domain.execution.state import ExecutionState
from shared.domain.webhook.delivery import entry_of_run, queued
from shared.errors import NotFoundError, StreamConflictError
from shared.events.envelope import NewEvent, RecordedEvent

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry


async def known_run(
    services: Services, actor: Actor, execution_id: str, events: Sequence[RecordedEvent]
) -> ExecutionState:
    """The run's state after these events of its stream; without any, the queued run as in `begun_delivery`."""
    state = fold(events)
    if state is None:
        state, _, _ = await begun_delivery(services, actor, execution_id)
    return state


async def begun_delivery(
    services: Services, actor: Actor, execution_id: str
) -> tuple[ExecutionState, tuple[NewEvent, ...], DeliveryLogEntry]:
    """The queued run of a delivery that is in Redis alone, with its first event and its entry in the delivery log.

    Nothing is appended. Raises `NotFoundError` where there is no such run, and `StreamConflictError` where a drain has
    started it meanwhile.
    """
    # Jobs of other tenants are treated like unknown ones.
    job = await services.producer.peek(execution_id)
    if job is None or job.delivery is None or job.tenant_id != actor.tenant_id:
        # The caller found no events and then this found no job: in between, a drain may have stored the run and
        # finished its job. The stream tells such a run, which the caller reads anew, from one that never was.
        if await services.events.read_stream(actor.tenant_id, execution_id, limit=1):
            raise StreamConflictError
        raise NotFoundError("There is no such execution.")
    fact, received_at = queued(job.delivery), job.delivery["received_at"]
    state = ExecutionState(execution_id, actor.tenant_id)
    apply(state, fact, received_at)
    return state, new_events(actor, received_at, fact), entry_of_run(job.delivery, actor.tenant_id, execution_id)
