"""The runs that a drain has left waiting: a long one is continued without reading all of its events again.

A map of thousands of items that wait comes back thousands of times, and its events would be read as often. What is
kept is nothing but the fold of durable events; what others have appended since is read and folded in.
"""

from __future__ import annotations

from shared.cause import Cause
from shared.domain.execution import ExecutionState
from shared.domain.execution_fold import apply_event
from shared.domain.recently_used import RecentlyUsed
from shared.domain.run_budget import RunBudget
from shared.repositories.event_store import READ_LIMIT, EventStoreRepository

# Below so many events a run is as easily read again.
LONG = 200
# Of the facts' payloads as they are stored: as much as one run may record, or many runs of the usual size.
MAX_KEPT_BYTES = 67_108_864
# What a state takes for each fact beside its payload.
BYTES_OF_A_FACT = 500

Known = tuple[ExecutionState, Cause]


class WaitingRuns:
    """The states of this drain's long runs, each in one run's hands at a time."""

    def __init__(self, events: EventStoreRepository, budget: RunBudget, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        """Reads through `events`; no run beyond `budget` is read to its end. Of the runs, those that were at work last
        are kept, as long as their facts have so many bytes together."""
        self._events, self._budget = events, budget
        self._kept: RecentlyUsed[tuple[str, str], Known] = RecentlyUsed(max_kept_bytes)

    async def load(self, tenant_id: str, execution_id: str) -> Known | None:
        """The run after all of its events, and what caused it; `None` when there is none such.

        The state is the caller's alone until it is given back. One that is beyond its budget raises `RunLimitError`.
        """
        known = self._kept.take((tenant_id, execution_id))
        is_read = False
        while not is_read:
            after = 0 if known is None else known[0].stream_version
            page = await self._events.read_stream(tenant_id, execution_id, after)
            if page and known is None:
                known = ExecutionState(execution_id, tenant_id), Cause.of(page[0].metadata, execution_id)
            if known is None:
                return None
            for event in page:
                apply_event(known[0], event)
            is_read = len(page) < READ_LIMIT
            self._budget.refuse(known[0])
        return known

    def keep(self, state: ExecutionState, cause: Cause) -> None:
        """Keeps the state of a run that waits, all of whose facts are durable, if it is a long one."""
        if state.is_terminal or state.stream_version < LONG:
            return
        weight = state.size_bytes + BYTES_OF_A_FACT * state.stream_version
        self._kept.put((state.tenant_id, state.id), (state, cause), weight)
