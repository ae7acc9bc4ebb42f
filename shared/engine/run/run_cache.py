"""Caches the states of long runs that wait, so that they are continued without reading all of their events again.

A map of thousands of items that wait is continued thousands of times, and its events would be read as often. A cached
state is the fold of durable events and nothing else; events that were appended since are read and folded in.
"""

from __future__ import annotations

from functools import partial

from shared.domain.execution.fold import apply_event
from shared.domain.execution.run_budget import RunBudget
from shared.domain.execution.state import ExecutionState
from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject
from shared.platform.lru_cache import LruCache
from shared.platform.turns import ComputeTurns
from shared.repositories.event_store import READ_LIMIT, EventStoreRepository, event_of
from shared.repositories.payload import size_bytes as stored_bytes
from shared.tracing import CorrelationContext

# A run of fewer events is read again as easily.
LONG = 200
# Of the facts' payloads as stored: as much as one run may record, or many runs of the usual size.
MAX_KEPT_BYTES = 67_108_864
# So much of the stored payloads is parsed in one turn of the event loop.
PART_BYTES = 524_288
# What a state takes in memory for each fact beside its payload.
BYTES_OF_A_FACT = 500

CachedRun = tuple[ExecutionState, CorrelationContext]


class RunCache:
    """The states of this drain's long runs. A state is taken out while its run is worked on: no two jobs share it."""

    def __init__(
        self, events: EventStoreRepository, budget: RunBudget, turns: ComputeTurns, max_kept_bytes: int = MAX_KEPT_BYTES
    ) -> None:
        """Reads through `events`, large parts in `turns`; a run beyond `budget` is not read to its end. The least
        recently used are evicted when the facts of all have more than `max_kept_bytes` together."""
        self._events, self._budget, self._turns = events, budget, turns
        self._kept: LruCache[tuple[str, str], CachedRun] = LruCache(max_kept_bytes)

    async def load(self, tenant_id: str, execution_id: str) -> CachedRun | None:
        """The run after all of its events, and its correlation context; `None` when there is no such run.

        The state is the caller's alone until `keep`. Raises `RunLimitError` for a run that is beyond its budget.
        """
        known = self._kept.take((tenant_id, execution_id))
        is_read = False
        while not is_read:
            after = 0 if known is None else known[0].stream_version
            rows = await self._events.read_rows(tenant_id, execution_id, after)
            if rows and known is None:
                known = (
                    ExecutionState(execution_id, tenant_id),
                    CorrelationContext.of(rows[0]["metadata"], execution_id),
                )
            if known is None:
                return None
            is_read = len(rows) < READ_LIMIT
            await self._apply(known[0], rows)
        return known

    async def _apply(self, state: ExecutionState, rows: list[JsonObject]) -> None:
        """Folds these rows in, in parts, so that no part blocks the event loop for long."""
        begin = size_bytes = 0
        for end, row in enumerate(rows, 1):
            size_bytes += stored_bytes(row["payload"])
            if size_bytes >= PART_BYTES or end == len(rows):
                parse = partial(_events, rows[begin:end])
                for event in await self._turns.take(state.tenant_id, parse, size_bytes):
                    apply_event(state, event)
                self._budget.refuse(state)
                begin, size_bytes = end, 0

    def keep(self, state: ExecutionState, context: CorrelationContext) -> None:
        """Keeps the state of a long run that waits, all of whose facts are durable."""
        if state.is_terminal or state.stream_version < LONG:
            return
        weight = state.size_bytes + BYTES_OF_A_FACT * state.stream_version
        self._kept.put((state.tenant_id, state.id), (state, context), weight)


def _events(rows: list[JsonObject]) -> list[RecordedEvent]:
    return [event_of(row) for row in rows]
