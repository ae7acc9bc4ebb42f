"""A run that a command begins: durable and due at once, and one run however often its request is repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.commands._hint import hint
from shared.commands.services import Services
from shared.domain.actor import Actor
from shared.domain.execution import ExecutionState
from shared.domain.execution_fold import apply_event
from shared.errors import IdempotencyConflictError, StreamConflictError
from shared.events.record import NewEvent, RecordedEvent
from shared.ids import derived_id, new_id
from shared.repositories.run_append import run_append


@dataclass(frozen=True, slots=True)
class NewRun:
    """The id that the run has or will have, and what makes two requests for it the same one, as SHA-256."""

    execution_id: str
    fingerprint: str

    @classmethod
    def asked(cls, actor: Actor, verb: str, subject_id: str, request: Any, idempotency_key: str | None) -> NewRun:
        """The run that `verb` on `subject_id` begins; `request` is the rest of what was asked, as JSON."""
        text = json.dumps([subject_id, request], sort_keys=True, separators=(",", ":"))
        fingerprint = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if idempotency_key is None:
            return cls(new_id(), fingerprint)
        return cls(derived_id(verb, actor.tenant_id, subject_id, idempotency_key), fingerprint)

    async def has_begun(self, services: Services, actor: Actor) -> bool:
        """Whether this request has begun it before; another one under its key raises `IdempotencyConflictError`."""
        first = await services.events.read_stream(actor.tenant_id, self.execution_id, limit=1)
        if first and first[0].metadata.get("request_sha256") != self.fingerprint:
            raise IdempotencyConflictError
        return bool(first)

    async def begin(
        self,
        services: Services,
        actor: Actor,
        events: Sequence[NewEvent],
        awaited: bool = False,
        stored_payloads: frozenset[str] = frozenset(),
    ) -> None:
        """Appends the run's first events, unless the same request was faster. `awaited`: somebody waits for the run's
        answer; `stored_payloads` are hashes of payloads that need not be sent again."""
        first, *others = events
        first = replace(first, metadata={**first.metadata, "request_sha256": self.fingerprint})
        state = ExecutionState(self.execution_id, actor.tenant_id)
        for version, event in enumerate(events, 1):
            apply_event(state, _recorded(state, event, version))
        # Due at once: should the hint below be lost, the drain's sweep finds it.
        append = run_append(state, [first, *others], wake_at=first.timestamp, stored_payloads=stored_payloads)
        try:
            await services.events.append_one(append)
        except StreamConflictError:
            # Another request with this key was faster; without a key, the id is new and cannot be taken.
            await self.has_begun(services, actor)
            return
        await hint(services, actor.tenant_id, self.execution_id, awaited=awaited)


def _recorded(state: ExecutionState, event: NewEvent, version: int) -> RecordedEvent:
    return RecordedEvent(
        id=event.id,
        tenant_id=state.tenant_id,
        stream_id=state.id,
        stream_type="execution",
        stream_version=version,
        sequence_number=version,
        event_type=event.event_type,
        timestamp=event.timestamp,
        payload=event.payload,
        metadata=event.metadata,
    )
