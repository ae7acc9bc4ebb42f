"""The runs that a drain has left waiting: a long one is continued without reading all of its events again.

A map of thousands of items that wait comes back thousands of times, and its events would be read as often. What is
kept is nothing but the fold of durable events; what others have appended since is read and folded in.
"""

from __future__ import annotations

from collections import OrderedDict

from shared.cause import Cause
from shared.domain.execution import ExecutionState
from shared.domain.execution_fold import apply_event
from shared.domain.run_budget import RunBudget
from shared.repositories.event_store import READ_LIMIT, EventStoreRepository

# Below so many events a run is as easily read again, and more of such states than these are not worth their memory.
LONG = 200
MAX_KEPT = 32

Known = tuple[ExecutionState, Cause]


class WaitingRuns:
    """The states of this drain's long runs, each in one run's hands at a time."""

    def __init__(self, events: EventStoreRepository, budget: RunBudget) -> None:
        """Reads through `events`; no run beyond `budget` is read to its end."""
        self._events, self._budget = events, budget
        self._kept: OrderedDict[tuple[str, str], Known] = OrderedDict()

    async def load(self, tenant_id: str, execution_id: str) -> Known | None:
        """The run after all of its events, and what caused it; `None` when there is none such.

        The state is the caller's alone until it is given back. One that is beyond its budget raises `RunLimitError`.
        """
        known = self._kept.pop((tenant_id, execution_id), None)
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
        self._kept[state.tenant_id, state.id] = state, cause
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
