"""The facts of one run: applied to its state at once, made durable when somebody needs them to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shared.domain.execution import ExecutionState, row
from shared.domain.timestamps import timestamp
from shared.engine.journal import Journal
from shared.errors import StreamConflictError
from shared.events.codec import SCHEMA_VERSIONS, ExecutionFact, encode, event_type
from shared.events.record import NewEvent
from shared.ids import new_id
from shared.repositories.event_store import Append

JsonObject = dict[str, Any]

# How long after an effect's timeout somebody else may take the run over.
EFFECT_GRACE_SECONDS = 30.0


class Recorder:
    """The state of a run, its facts that are not durable yet, and the version up to which it is."""

    def __init__(
        self,
        state: ExecutionState,
        journal: Journal,
        actor: str,
        clock: Callable[[], float],
        deliveries: tuple[JsonObject, ...] = (),
    ) -> None:
        """`actor` stands in each event's metadata; `deliveries` are ledger rows that go with the first append."""
        self.state, self.clock = state, clock
        self._journal, self._actor, self._deliveries = journal, actor, deliveries
        self._stored_version = state.stream_version
        self._unsaved: list[NewEvent] = []
        self._lock = asyncio.Lock()
        self._broken: Exception | None = None
        self.longest_timeout_seconds: Callable[[], float] = lambda: 0.0

    def record(self, fact: ExecutionFact) -> None:
        """Takes a fact in: true for this run from now on, durable later."""
        happened_at = timestamp(self.clock())
        self.state.apply(fact, happened_at)
        name = event_type(fact)
        metadata = {"actor": self._actor, "schema_version": SCHEMA_VERSIONS.get(name, 1)}
        self._unsaved.append(NewEvent(new_id(), name, happened_at, encode(fact), metadata))

    async def durable(self) -> None:
        """Returns when every fact recorded so far is durable; somebody else's facts raise `StreamConflictError`."""
        version = self.state.stream_version
        if self._stored_version >= version:
            return
        async with self._lock:
            if self._broken is not None:
                # Facts are missing below: nothing may be appended any more, or the stream would have a hole.
                raise self._broken
            if self._stored_version < version:
                try:
                    await self._write()
                except Exception as error:
                    self._broken = error
                    raise

    async def _write(self) -> None:
        events, self._unsaved = tuple(self._unsaved), []
        appended = await self._journal.append(
            Append(
                tenant_id=self.state.tenant_id,
                stream_id=self.state.id,
                stream_type="execution",
                expected_version=self._stored_version,
                events=events,
                row=row(self.state, self._wake_at()),
                deliveries=self._deliveries if self._stored_version == 0 else (),
            )
        )
        if appended.status == "conflict":
            raise StreamConflictError
        self._stored_version += len(events)

    def _wake_at(self) -> str | None:
        longest = self.longest_timeout_seconds() if self.state.running else 0.0
        return timestamp(self.clock() + longest + EFFECT_GRACE_SECONDS) if longest else None
