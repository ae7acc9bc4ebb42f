"""The facts of one run: applied to its state at once, made durable when an effect, a reply or the run's end needs it.

In between, the state is ahead of the stream: `_unsaved` are the facts that only this process knows. Appending them
succeeds only if the stream is at the version that this process has seen (the fence), so two drains that work on one run
cannot both record what they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from shared.domain.execution.fold import apply, apply_event
from shared.domain.execution.run_budget import DEFAULT_BUDGET, RunBudget
from shared.domain.execution.signals import Signals
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


# How long after an effect's timeout another drain may take the run over.
EFFECT_GRACE_SECONDS = 30.0
# How often one append is repeated because signals were appended first, before it counts as a conflict.
MAX_REBASES = 20
# Facts that are recorded even beyond the budget: with them, a run that has reached it begins and ends.
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
        share: MemoryShare | None = None,
    ) -> None:
        """`actor` stands in each event's metadata; `deliveries` are delivery log rows that go with the first append;
        `budget` is what the run may record, and `share` its share of the drain's memory."""
        self.state, self.clock, self._budget, self._share = state, clock, budget, share
        self._events, self._journal, self._deliveries = events, journal, deliveries
        context = current_context() or CorrelationContext(state.id)
        self._metadata = {"actor": actor, "correlation_id": context.correlation_id}
        # Only the first event carries the trace; a drain that continues the run finds it there.
        self._first_metadata = context.metadata() if state.stream_version == 0 else {}
        # Counted apart from the stream's versions: other processes' signals take versions in between.
        self._recorded = 0
        self._unsaved: list[NewEvent] = []
        self._encoded: list[StoredPayload] = []
        self.unsaved_bytes = 0
        # Appends of one run go one after another: each begins at the version where the last one ended.
        self._lock = asyncio.Lock()
        self._broken: Exception | None = None
        # How long the attempt of the node at a path may take, and those of nodes that have been started, longest first.
        self._timeout_seconds: Callable[[str], float] = lambda _path: 0.0
        self._timeouts: list[tuple[float, str]] = []
        # While nodes are at work here, the timer of another node does not say when a drain must look at the run again.
        self.is_busy = False
        # The wake-up time in the stored row, as far as it was written here.
        self._row_wake_at: str | None = None
        self._reply: SyncReply | None = None

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
        """Takes a fact in: it holds for this run from now on, and is durable later. One beyond the run's budget raises
        `RunLimitError` and is not taken in; the start of a run and its failure can always be recorded."""
        happened_at = timestamp(self.clock())
        event = new_event(new_id(), fact, happened_at, {**self._metadata, **self._first_metadata})
        encoded = stored_payload(event, of_run=True)
        if event.event_type not in _ALWAYS:
            self._budget.refuse(self.state, 1, encoded.size_bytes)
        apply(self.state, fact, happened_at, encoded.size_bytes)
        self._first_metadata = {}
        self._recorded += 1
        if self._reply is not None:
            self._reply.on_recorded(self._recorded)
        if isinstance(fact, NodeStarted):
            heappush(self._timeouts, (-self._timeout_seconds(fact.node_id), fact.node_id))
        self._unsaved.append(event)
        self._encoded.append(encoded)
        if self._share is not None:
            self._share.hold(self.state.size_bytes)
        self.unsaved_bytes += encoded.size_bytes

    def watch(self, timeout_seconds: Callable[[str], float]) -> None:
        """From now on, the row's lease lasts as long as the longest attempt under way may: `timeout_seconds` gives that
        for the node at a path."""
        self._timeout_seconds = timeout_seconds
        self._timeouts = sorted((-timeout_seconds(path), path) for path in self.state.running)

    async def room(self) -> None:
        """Returns when the drain has memory for more of this run; what it has recorded is durable if it has to wait."""
        if self._share is not None and self._share.is_to_wait:
            await self.durable()
            await self._share.room()

    def has_room_for(self, facts: int) -> None:
        """Raises `RunLimitError` where the run may not record so many more."""
        self._budget.refuse(self.state, facts)

    def reply_with(self, reply: SyncReply) -> None:
        """From now on, `reply` learns what is recorded and committed: a client waits for the run."""
        self._reply = reply

    @property
    def owes_reply(self) -> bool:
        """Whether a client waits for a reply that is recorded and not durable yet."""
        return self._reply is not None and self._reply.is_due

    async def durable(self) -> None:
        """Returns when every fact recorded so far is durable. Raises `StreamConflictError` where another process has
        appended anything but signals, and as `Journal.append`."""
        wanted = self._recorded
        if self._saved >= wanted:
            return
        async with self._lock:
            if self._broken is not None:
                # Earlier facts were not stored: with later ones appended, the stream would have a hole.
                raise self._broken
            # While this waited for the lock, another task may have stored these facts with its own.
            if self._saved < wanted:
                try:
                    await self._write()
                except BaseException as error:
                    # An append that was cancelled may have been stored or not: the stream has to be read again.
                    self._broken = error if isinstance(error, Exception) else StreamConflictError()
                    raise

    async def park(self) -> None:
        """Returns when the row of this waiting run, whose facts are durable, has the run's own wake-up time.

        An append with no node at work writes it. After an append while nodes were at work, and when the sweep has
        brought the run here in vain, the row has the end of a lease: the run would be run at the end of each lease.
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
                # While nodes are at work, an append does not name the child runs that are waited for: `park` does.
                self._row_wake_at = None if is_at_work else append.row["wake_at"]
                del self._unsaved[: len(append.events)], self._encoded[: len(append.events)]
                self.unsaved_bytes -= sum(payload.size_bytes for payload in append.encoded)
                if self._reply is not None:
                    await self._reply.on_committed(self._saved)
                return
            await self._rebase()
        raise StreamConflictError

    async def _rebase(self) -> None:
        """Takes in what other processes have appended, where it is signals alone; all else raises
        `StreamConflictError`.

        A signal is kept until a node takes it and changes nothing that has been decided, so the facts recorded here
        hold after it as before. Giving the run up instead would repeat the effects that are under way.
        """
        events = await self._events.read_stream(self.state.tenant_id, self.state.id, self._stored_version)
        if self._stored_version == 0 or not events or any(event.event_type != "SignalReceived" for event in events):
            raise StreamConflictError
        for event in events:
            apply_event(self.state, event)
        await match_signals(self.state.signals)

    def _wake_at(self) -> str | None:
        """The end of this drain's lease on the run, for its row; `None` to leave the run's own wake-up time there."""
        while self._timeouts and self._timeouts[0][1] not in self.state.running:
            heappop(self._timeouts)
        if self._timeouts:
            return timestamp(self.clock() - self._timeouts[0][0] + EFFECT_GRACE_SECONDS)
        return timestamp(self.clock() + LEASE_SECONDS) if self.is_busy and self.state.waiting else None


async def match_signals(signals: Signals) -> None:
    """Returns when the signals received so far are matched with the schemas of the nodes that wait for them.

    The event loop gets a turn after each node's match, which takes it no longer than an expression may. Of hundreds of
    nodes that wait for one signal, each with a large schema, all at once would outlast the locks of the drain's jobs.
    """
    while signals.check_some():  # noqa: ASYNC110  # it waits for nothing: it lets others have their turn
        await asyncio.sleep(0)
