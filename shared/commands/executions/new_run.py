"""A run that a command starts: stored and due at once, and only one however often its request is repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from shared.bootstrap import Services
from shared.commands.enqueue_resume import enqueue_resume
from shared.domain.actor import Actor
from shared.errors import IdempotencyConflictError, StreamConflictError
from shared.events.envelope import NewEvent
from shared.ids import derived_id, new_id
from shared.repositories.run_append import first_append


class NewRun(NamedTuple):
    """The run's id, and the SHA-256 of the request, which tells a repetition from another request under the same
    idempotency key. Without a key each request starts a run of its own."""

    execution_id: str
    fingerprint: str
    has_key: bool

    @classmethod
    def asked(cls, actor: Actor, verb: str, subject_id: str, request: object, idempotency_key: str | None) -> NewRun:
        """The run that `verb` on `subject_id` starts; `request` is the rest of the request, as JSON."""
        # Sorted keys: clients may repeat a request with its keys in another order.
        text = json.dumps([subject_id, request], sort_keys=True, separators=(",", ":"))
        fingerprint = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if idempotency_key is None:
            return cls(new_id(), fingerprint, has_key=False)
        return cls(derived_id(verb, actor.tenant_id, subject_id, idempotency_key), fingerprint, has_key=True)

    async def has_begun(self, services: Services, actor: Actor) -> bool:
        """Whether this request has started the run before; another one under its key: `IdempotencyConflictError`."""
        if not self.has_key:
            return False
        first = await services.events.read_stream(actor.tenant_id, self.execution_id, limit=1)
        if first and first[0].metadata.get("request_sha256") != self.fingerprint:
            raise IdempotencyConflictError
        return bool(first)

    async def begin(
        self,
        services: Services,
        actor: Actor,
        events: Sequence[NewEvent],
        client_is_waiting: bool = False,
        stored_payloads: frozenset[str] = frozenset(),
    ) -> None:
        """Appends the run's first events and enqueues it, unless the same request was faster. `client_is_waiting`: a
        client waits for the run's reply; `stored_payloads` are hashes of payloads that are in the store already."""
        # The first event keeps the request's hash, by which a repetition is told from another request.
        first, *others = events
        first = replace(first, metadata={**first.metadata, "request_sha256": self.fingerprint})
        append = first_append(actor.tenant_id, self.execution_id, [first, *others], stored_payloads=stored_payloads)
        try:
            await services.events.append_one(append)
        except StreamConflictError:
            # Another request with this key was faster; without a key, the id is new and cannot be taken.
            await self.has_begun(services, actor)
            return
        await enqueue_resume(services, actor.tenant_id, self.execution_id, client_is_waiting=client_is_waiting)
