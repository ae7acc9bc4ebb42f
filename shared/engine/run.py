"""The run of one execution: whatever is ready runs at once, and what is decided is recorded, until nothing is left.

Pure nodes never wait for storage: a run without effects is one append. An effect waits until everything before it is
durable; meanwhile the rest of the run goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared.domain.fates import decide, outcome
from shared.domain.timestamps import unix_seconds
from shared.engine.attempts import LONGEST_WAIT_SECONDS, Attempts
from shared.engine.program import Program
from shared.engine.recorder import Recorder
from shared.events.execution import NodeSkipped


class Run:
    """One execution, driven from where its facts leave off."""

    def __init__(self, recorder: Recorder, program: Program, attempts: Attempts) -> None:
        """`recorder` holds the facts so far, the start included."""
        self._recorder, self._program, self._attempts = recorder, program, attempts
        self._state = recorder.state
        self._tasks: dict[asyncio.Task[bool], str] = {}
        self._saving: asyncio.Task[None] | None = None
        recorder.longest_timeout_seconds = self._longest_timeout

    async def drive(self) -> float | None:
        """The seconds until the run's next timer, or `None` when nothing is to be done before somebody says so; either
        way, all of it is durable.

        Facts of somebody else raise `StreamConflictError`: whoever wrote them has the run now.
        """
        try:
            await self._nodes()
            while self._state.waiting:
                await self._recorder.durable()
                if not self._interrupted():
                    break
                # While that was being stored, a signal came or a timer ran out.
                await self._nodes()
        finally:
            await self._abandon()
        if self._state.waiting:
            if any(self._state.nodes[name].signal for name in self._state.waiting):
                # No delayed job may stand in the way of the one that a signal adds; the row's time is enough.
                return None
            timers = [unix_seconds(self._state.nodes[name].timer or "") for name in self._state.waiting]
            return max(0.0, min(timers) - self._recorder.clock())
        self._recorder.record(outcome(self._program.graph, self._state))
        await self._recorder.durable()
        return None

    async def _nodes(self) -> None:
        ready = [*self._interrupted(), *self._decided(None)]
        while ready or self._tasks:
            if len(ready) == 1 and not self._tasks and not self._program.nodes[ready[0]].is_effect:
                # The common case, a chain of pure nodes, needs no task.
                settled = ready if await self._attempts.settle(ready[0]) else []
            else:
                for node_id in ready:
                    self._tasks[asyncio.create_task(self._attempts.settle(node_id))] = node_id
                settled = await self._next_settled()
            ready = self._decided(settled)

    async def _next_settled(self) -> list[str]:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        # In the order in which they were started, so that what follows does not depend on a set's order.
        finished = [(task, node_id) for task, node_id in self._tasks.items() if task in done]
        settled = [node_id for task, node_id in finished if task.result()]
        for task, _node_id in finished:
            del self._tasks[task]
        if self._tasks and any(self._program.nodes[node_id].is_effect for node_id in settled):
            # Others are still busy, perhaps for minutes: what an effect has done should not wait for them.
            await self._save()
        return settled

    async def _save(self) -> None:
        if self._saving is not None and self._saving.done():
            self._saving.result()  # a conflict ends the run here
            self._saving = None
        if self._saving is None:
            self._saving = asyncio.create_task(self._recorder.durable())

    def _interrupted(self) -> list[str]:
        """Nodes whose start is recorded and whose end is not, and those whose timer is due or whose signal is there."""
        soon = self._recorder.clock() + LONGEST_WAIT_SECONDS
        waiting = self._state.waiting
        due = {
            name
            for name in waiting
            if unix_seconds(self._state.nodes[name].timer or "") <= soon or self._state.signal_for(name) is not None
        }
        return [name for name in self._program.graph.nodes if name in self._state.running or name in due]

    def _decided(self, settled: Iterable[str] | None) -> list[str]:
        """The nodes that are ready now that `settled` are settled; those that never will be are recorded as skipped."""
        ready: dict[str, None] = {}
        while True:
            decided = decide(self._program.graph, self._state, settled)
            ready.update((node_id, None) for node_id, fate in decided if fate == "ready")
            settled = [node_id for node_id, fate in decided if fate == "skipped"]
            if not settled:
                busy = set(self._tasks.values())
                return [node_id for node_id in ready if node_id not in busy]
            for node_id in settled:
                self._recorder.record(NodeSkipped(node_id))

    def _longest_timeout(self) -> float:
        return max((self._program.nodes[name].timeout_seconds for name in self._state.running), default=0.0)

    async def _abandon(self) -> None:
        """Stops what is still under way; after a normal end that is nothing but a save."""
        for task in self._tasks:
            task.cancel()
        under_way = [*self._tasks, *filter(None, [self._saving])]
        # Their errors are the run's own, which is ending with one.
        await asyncio.gather(*under_way, return_exceptions=True)
