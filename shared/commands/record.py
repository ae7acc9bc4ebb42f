"""Facts into events: an id each, one moment, and who caused them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shared.cause import Cause, current
from shared.domain.actor import Actor
from shared.domain.timestamps import timestamp
from shared.events.codec import SCHEMA_VERSIONS, encode, event_type
from shared.events.record import NewEvent
from shared.ids import new_id

if TYPE_CHECKING:
    from shared.events.facts import Fact


def now() -> str:
    """This moment, in the service's form."""
    return timestamp(time.time())


def record(actor: Actor, happened_at: str, *facts: Fact) -> tuple[NewEvent, ...]:
    """The events of facts that `actor` caused at `happened_at`, with the request that led to them."""
    cause = current() or Cause(new_id())
    return tuple(
        NewEvent(
            id=new_id(),
            event_type=event_type(fact),
            timestamp=happened_at,
            payload=encode(fact),
            metadata={
                "actor": actor.name,
                "schema_version": SCHEMA_VERSIONS.get(event_type(fact), 1),
                **cause.metadata(),
            },
        )
        for fact in facts
    )
