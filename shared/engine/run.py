"""The run of one execution: whatever is ready runs at once, and what is decided is recorded, until nothing is left.

Pure nodes never wait for storage: a run without effects is one append, unless it is a long one. An effect waits until
everything before it is durable; meanwhile the rest of the run goes on.
"""

from __future__ import annotations

import asyncio
import math

from shared.domain.fates import outcome
from shared.domain.timestamps import unix_seconds
from shared.engine.attempts import LONGEST_WAIT_SECONDS, Attempts
from shared.engine.ending import Ending
from shared.engine.frontier import Frontier
from shared.engine.journal import MAX_BYTES
from shared.engine.program import Program
from shared.engine.recorder import Recorder

# So many facts of nodes that need no storage are stored at once, so that a crash costs no more than these.
MAX_UNSAVED = 500
# Where storage is slower than the nodes, they wait for it before it is given more than these at once.
LONGEST_APPEND = 4_000


class Run:
    """One execution, driven from where its facts leave off."""

    def __init__(self, recorder: Recorder, program: Program, attempts: Attempts, ending: Ending) -> None:
        """`recorder` holds the facts so far, the start included."""
        self._recorder, self._program, self._attempts, self._ending = recorder, program, attempts, ending
        self._state, self._scopes, self._calls = recorder.state, attempts.scopes, attempts.calls
        self._frontier = Frontier(self._state, self._scopes, recorder.record, attempts.end_map)
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._is_cut_off = False
        self._saving: asyncio.Task[None] | None = None
        self._answering: asyncio.Task[None] | None = None
        recorder.timeout_seconds = self._scopes.timeout_seconds

    async def drive(self) -> float | None:
        """The seconds until the run's next timer, infinity when it waits for somebody else, `None` when it has ended.
        All of it is durable.

        Facts of somebody else raise `StreamConflictError`: whoever wrote them has the run now.
        """
        try:
            await self._calls.look()
            started = [path for path in self._state.nodes if path in self._state.running]
            await self._nodes([*started, *self._due(), *self._frontier.begun()])
            while self._state.waiting and not self._is_late():
                await self._recorder.durable()
                await self._calls.look()
                due = self._due()
                if not due:
                    break
                # While that was being stored, a signal came, a timer ran out, or a called run ended.
                await self._nodes(due)
        finally:
            await self._abandon()
        if self._is_late():
            await self._ending.time_out()
            return None
        if self._state.waiting:
            await self._recorder.rest()
            if self._state.calls or self._state.signals.is_awaited:
                # No delayed job may stand in the way of the one that a signal or a called run adds; the row's time is
                # enough.
                return math.inf
            timers = [unix_seconds(self._state.nodes[path].timer or "") for path in self._state.waiting]
            if self._state.deadline_at is not None:
                timers.append(self._state.deadline_at)
            return max(0.0, min(timers) - self._recorder.clock())
        await self._ending.end(outcome(self._program.graph, self._state))
        return None

    async def _nodes(self, ready: list[str]) -> None:
        self._recorder.is_busy = True
        while ready or self._tasks:
            if self._ending.is_overdue:
                self._is_cut_off = True
                break
            if len(ready) == 1 and not self._tasks and self._needs_no_task(ready[0]):
                await self._attempts.settle(ready[0])
                done = ready
            else:
                for path in ready:
                    self._tasks[asyncio.create_task(self._attempts.settle(path))] = path
                done = await self._next_done()
            ready = [*self._frontier.following(done), *self._due()]
            if self._recorder.unsaved >= LONGEST_APPEND or self._recorder.unsaved_bytes >= MAX_BYTES:
                await self._recorder.durable()
            elif self._recorder.unsaved >= MAX_UNSAVED:
                await self._save()
            if self._answering is None and self._recorder.owes_answer:
                # Whoever waits for the answer has it as soon as it is durable; the run goes on meanwhile.
                self._answering = asyncio.create_task(self._recorder.durable())
        self._recorder.is_busy = False

    def _needs_no_task(self, path: str) -> bool:
        """The common case, a chain of pure nodes; a run that may run out of time has to be able to stop them."""
        return self._state.deadline_at is None and not self._scopes.step(path).one.is_effect

    async def _next_done(self) -> list[str]:
        longest = self._seconds_to_timer()
        done, _ = await asyncio.wait(self._tasks, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
        # In the order in which they were started, so that what follows does not depend on a set's order.
        finished = [(task, path) for task, path in self._tasks.items() if task in done]
        for task, _path in finished:
            task.result()
            del self._tasks[task]
        paths = [path for _task, path in finished]
        if self._tasks and any(self._scopes.step(path).one.is_effect for path in paths):
            # Others are still busy, perhaps for minutes: what an effect has done should not wait for them.
            await self._save()
        return paths

    async def _save(self) -> None:
        if self._saving is not None and self._saving.done():
            self._saving.result()  # a conflict ends the run here
            self._saving = None
        if self._saving is None:
            self._saving = asyncio.create_task(self._recorder.durable())

    def _due(self) -> list[str]:
        """Waiting nodes whose timer is due, whose signal is there or whose called run has ended, and that nobody is at
        yet."""
        if not self._state.waiting:
            return []
        soon = self._recorder.clock() + LONGEST_WAIT_SECONDS
        busy = set(self._tasks.values())
        found = [
            path
            for path in self._state.waiting
            if path not in busy
            and (
                unix_seconds(self._state.nodes[path].timer or "") <= soon
                or self._state.signals.is_due(path)
                or self._calls.has_ended(path)
            )
        ]
        return sorted(found)

    def _seconds_to_timer(self) -> float | None:
        """How long until a waiting node wants to be looked at; the others' work does not make it late."""
        busy = set(self._tasks.values())
        timers = [
            unix_seconds(self._state.nodes[path].timer or "") - LONGEST_WAIT_SECONDS
            for path in self._state.waiting
            if path not in busy
        ]
        if self._state.deadline_at is not None:
            timers.append(self._state.deadline_at)
        return max(0.0, min(timers) - self._recorder.clock()) if timers else None

    def _is_late(self) -> bool:
        """Whether the run's time is up with something left to do."""
        return self._is_cut_off or (bool(self._state.waiting) and self._ending.is_overdue)

    async def _abandon(self) -> None:
        """Stops what is still under way; after a normal end that is nothing but a save."""
        for task in self._tasks:
            task.cancel()
        under_way = [*self._tasks, *filter(None, [self._saving, self._answering])]
        # Their errors are the run's own, which is ending with one.
        await asyncio.gather(*under_way, return_exceptions=True)
