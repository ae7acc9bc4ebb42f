"""The facts of one run: applied to its state at once, made durable when somebody needs them to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from shared.domain.execution.fold import apply, apply_event
from shared.domain.execution.run_budget import DEFAULT_BUDGET, RunBudget
from shared.domain.execution.state import LEASE_SECONDS, ExecutionState
from shared.domain.timestamps import timestamp
from shared.engine.run.journal import Journal
from shared.engine.run.memory_limiter import MemoryShare
from shared.errors import StreamConflictError
from shared.events.codec import new_event
from shared.events.envelope import NewEvent
from shared.events.node import NodeStarted
from shared.ids import new_id
from shared.repositories.append import StoredPayload, stored_payload
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.run_append import run_append
from shared.tracing import CorrelationContext, current_context

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.engine.run.sync_reply import SyncReply
    from shared.events.facts import ExecutionFact


# How long after an effect's timeout somebody else may take the run over.
EFFECT_GRACE_SECONDS = 30.0
# How often signals may come between before the run is left to whoever sends so many.
MAX_REBASES = 20
# What no budget keeps from being recorded: a run that has reached it ends.
_ALWAYS = frozenset(
    {"ExecutionQueued", "ExecutionStarted", "ErrorWorkflowStarted", "ExecutionFailed", "ExecutionCancelled"}
)


class Recorder:
    """The state of a run, its facts that are not durable yet, and the version up to which it is."""

    def __init__(
        self,
        state: ExecutionState,
        events: EventStoreRepository,
        journal: Journal,
        actor: str,
        clock: Callable[[], float],
        deliveries: tuple[DeliveryLogEntry, ...] = (),
        budget: RunBudget = DEFAULT_BUDGET,
    ) -> None:
        """`actor` stands in each event's metadata; `deliveries` are delivery log rows that go with the first append;
        `budget` is what the run may record."""
        self.state, self.clock, self._budget = state, clock, budget
        self._events, self._journal, self._deliveries = events, journal, deliveries
        cause = current_context() or CorrelationContext(state.id)
        self._about = {"actor": actor, "correlation_id": cause.correlation_id}
        # The first event alone has the trace; whoever goes on with the run finds it there.
        self._first = cause.metadata() if state.stream_version == 0 else {}
        # Counted apart from the stream's versions, in which somebody else's signals may come between.
        self._recorded = 0
        self._unsaved: list[NewEvent] = []
        self._encoded: list[StoredPayload] = []
        self.unsaved_bytes = 0
        self._lock = asyncio.Lock()
        self._broken: Exception | None = None
        # How long the attempt of the node at a path may take, and those of nodes that have been started, longest first.
        self._timeout_seconds: Callable[[str], float] = lambda _path: 0.0
        self._timeouts: list[tuple[float, str]] = []
        # While nodes are at work here, a timer of another node does not say when somebody must look again.
        self.is_busy = False
        # What the stored row says of when somebody must look again, as far as it was written here.
        self._row_wake_at: str | None = None
        # Set where the run is one of several that share a drain's memory.
        self.share: MemoryShare | None = None
        # Set where somebody waits for the run's answer.
        self.sync_reply: SyncReply | None = None

    @property
    def unsaved(self) -> int:
        """How many facts are not durable yet."""
        return len(self._unsaved)

    @property
    def is_stored(self) -> bool:
        """Whether any fact of the run is durable."""
        return self._stored_version > 0

    @property
    def _stored_version(self) -> int:
        """The stream's version up to which the facts in the state are durable."""
        return self.state.stream_version - len(self._unsaved)

    @property
    def _saved(self) -> int:
        """How many of the facts recorded here are durable."""
        return self._recorded - len(self._unsaved)

    def record(self, fact: ExecutionFact) -> None:
        """Takes a fact in: true for this run from now on, durable later. One beyond what the run may record raises
        `RunLimitError` and is not taken in; how a run begins and that it has failed can always be recorded."""
        happened_at = timestamp(self.clock())
        event = new_event(new_id(), fact, happened_at, {**self._about, **self._first})
        encoded = stored_payload(event, of_run=True)
        if event.event_type not in _ALWAYS:
            self._budget.refuse(self.state, 1, encoded.size_bytes)
        apply(self.state, fact, happened_at, encoded.size_bytes)
        self._first = {}
        self._recorded += 1
        if self.sync_reply is not None:
            self.sync_reply.on_recorded(self._recorded)
        if isinstance(fact, NodeStarted):
            heappush(self._timeouts, (-self._timeout_seconds(fact.node_id), fact.node_id))
        self._unsaved.append(event)
        self._encoded.append(encoded)
        if self.share is not None:
            self.share.hold(self.state.size_bytes)
        self.unsaved_bytes += encoded.size_bytes

    def watch(self, timeout_seconds: Callable[[str], float]) -> None:
        """From now on, nobody takes the run over while a node at a path has been at work for less than this."""
        self._timeout_seconds = timeout_seconds
        self._timeouts = sorted((-timeout_seconds(path), path) for path in self.state.running)

    async def room(self) -> None:
        """Returns when the drain has room for more of this run; what it has recorded is durable if it has to wait."""
        if self.share is not None and self.share.is_to_wait:
            await self.durable()
            await self.share.room()

    def has_room_for(self, facts: int) -> None:
        """Passes where the run may record so many more; raises `RunLimitError` where it may not."""
        self._budget.refuse(self.state, facts)

    @property
    def owes_answer(self) -> bool:
        """Whether somebody waits for an answer that is recorded and not durable yet."""
        return self.sync_reply is not None and self.sync_reply.is_due

    async def durable(self) -> None:
        """Returns when every fact recorded so far is durable; somebody else's facts raise `StreamConflictError`."""
        wanted = self._recorded
        if self._saved >= wanted:
            return
        async with self._lock:
            if self._broken is not None:
                # Facts are missing below: nothing may be appended any more, or the stream would have a hole.
                raise self._broken
            if self._saved < wanted:
                try:
                    await self._write()
                except BaseException as error:
                    # Cut off in the middle, it may have been stored or not: only a new look at the stream tells.
                    self._broken = error if isinstance(error, Exception) else StreamConflictError()
                    raise

    async def park(self) -> None:
        """Returns when the row of this waiting run, whose facts are durable, says when it is to be looked at again.

        It does after an append at rest. After one while nodes were at work, or when the sweep has brought the run here
        in vain, it names the end of a lease, and the run would be looked at with every lease that ends.
        """
        state = self.state
        if self._row_wake_at != state.wake_at:
            calls = tuple(state.calls.values())
            await self._events.set_wake_up(state.tenant_id, state.id, self._stored_version, state.wake_at, calls)

    async def _write(self) -> None:
        for _ in range(MAX_REBASES):
            deliveries = self._deliveries if self._stored_version == 0 else ()
            is_at_work, wake_at = self.is_busy, self._wake_at()
            append = run_append(
                self.state, self._unsaved, wake_at, deliveries, encoded=self._encoded, is_at_work=is_at_work
            )
            appended = await self._journal.append(append)
            if appended.status != "conflict":
                assert append.row is not None, "a run has a row"
                # At work, the runs that this one waits for were not named: that is left for its rest.
                self._row_wake_at = None if is_at_work else append.row["wake_at"]
                del self._unsaved[: len(append.events)], self._encoded[: len(append.events)]
                self.unsaved_bytes -= sum(one.size_bytes for one in append.encoded)
                if self.sync_reply is not None:
                    await self.sync_reply.on_committed(self._saved)
                return
            await self._rebase()
        raise StreamConflictError

    async def _rebase(self) -> None:
        """Takes in what somebody else has appended, where it is signals alone; all else raises `StreamConflictError`.

        A signal is kept until a node takes it and changes nothing that has been decided, so the facts recorded here
        are as true after it as before. Giving the run up instead would repeat the effects that are under way.
        """
        others = await self._events.read_stream(self.state.tenant_id, self.state.id, self._stored_version)
        if self._stored_version == 0 or not others or any(one.event_type != "SignalReceived" for one in others):
            raise StreamConflictError
        for one in others:
            apply_event(self.state, one)
        from shared.engine.run.signal_matching import match_signals  # most runs receive no signal

        await match_signals(self.state.signals)

    def _wake_at(self) -> str | None:
        while self._timeouts and self._timeouts[0][1] not in self.state.running:
            heappop(self._timeouts)
        if self._timeouts:
            return timestamp(self.clock() - self._timeouts[0][0] + EFFECT_GRACE_SECONDS)
        return timestamp(self.clock() + LEASE_SECONDS) if self.is_busy and self.state.waiting else None
